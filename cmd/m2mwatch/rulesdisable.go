package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// disabledFile is where rules disable writes, in the first folder of rules.dirs.
const disabledFile = "disabled.yml"

func newRulesDisable(inv *invocation) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "disable RULE",
		Short: "Switch a rule off, in disabled.yml of the first folder of rules.dirs",
		Long: `disable writes the rule into disabled.yml of the first folder of rules.dirs, which a running
instance with the same folder reads within seconds. The rule finds nothing any more and its open
findings are taken back; what it selects is still matched, so that it knows its past when it is
switched on again.`,
		Args: theArgs(1, "a rule, by its code, id or name"),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, set, err := (&ruleFlags{}).load(inv)
			if err != nil {
				return err
			}
			v, err := findRule(ruleViews(set), args[0])
			if err != nil {
				return err
			}
			switch v.State {
			case ruleDisabled:
				return fmt.Errorf("rule %s is disabled already", v.Rule)
			case ruleFinds:
			default:
				return fmt.Errorf("rule %s is %s: it finds nothing", v.Rule, v.State)
			}
			return changeDisabled(inv, cfg, v.Rule, "disabled", func(list *yaml.Node) bool {
				list.Content = append(list.Content, disabledItem(v.Rule, reason))
				return true
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who wonder")
	return cmd
}

func newRulesEnable(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "enable RULE",
		Short: "Switch a rule on that rules disable has switched off",
		Args:  theArgs(1, "a rule, by its code, id or name"),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, set, err := (&ruleFlags{}).load(inv)
			if err != nil {
				return err
			}
			v, err := findRule(ruleViews(set), args[0])
			if err != nil {
				return err
			}
			if v.State != ruleDisabled {
				return fmt.Errorf("rule %s is not disabled", v.Rule)
			}
			names := []string{v.Rule, v.id, v.Name}
			return changeDisabled(inv, cfg, v.Rule, "enabled", func(list *yaml.Node) bool {
				before := len(list.Content)
				list.Content = slices.DeleteFunc(list.Content, func(n *yaml.Node) bool { return slices.Contains(names, disabledName(n)) })
				return len(list.Content) < before
			})
		},
	}
}

// changeDisabled changes the list of disabled.yml and checks that all rules are
// still understood.
func changeDisabled(inv *invocation, cfg *config.Config, rule, done string, change func(list *yaml.Node) bool) error {
	if len(cfg.Rules.Dirs) == 0 {
		return errors.New("rules.dirs names no folder: what is disabled is kept in " + disabledFile + " of the first one. Make a folder, and name it in the configuration: rules: {dirs: [rules]}")
	}
	path := filepath.Join(cfg.Rules.Dirs[0], disabledFile)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read what is disabled: %w", err)
	}
	doc, list, err := disabledList(path, before)
	if err != nil {
		return err
	}
	if !change(list) {
		return fmt.Errorf("rule %s is not in %s: another file of rules.dirs disables it (see m2mwatch rules show)", rule, path)
	}
	var after bytes.Buffer
	e := yaml.NewEncoder(&after)
	e.SetIndent(2)
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("write what is disabled: %w", err)
	}
	if err := replaceFile(path, after.Bytes()); err != nil {
		return fmt.Errorf("write what is disabled: %w", err)
	}
	fmt.Fprintf(inv.stdout, "rule %s is %s, in %s\n", rule, done, path)
	return nil
}

// disabledList reads the file, or makes one.
func disabledList(path string, text []byte) (doc, list *yaml.Node, err error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("# Rules that find nothing: see m2mwatch rules disable.\n" + detect.DisabledKey + ": []\n")
	}
	doc = &yaml.Node{}
	if err := yaml.Unmarshal(text, doc); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(doc.Content) == 1 && doc.Content[0].Kind == yaml.MappingNode && len(doc.Content[0].Content) == 2 {
		if list = doc.Content[0].Content[1]; doc.Content[0].Content[0].Value == detect.DisabledKey && list.Kind == yaml.SequenceNode {
			list.Style = 0
			return doc, list, nil
		}
	}
	return nil, nil, fmt.Errorf("%s: want one document with the list %s and nothing else", path, detect.DisabledKey)
}

func disabledItem(rule, reason string) *yaml.Node {
	if reason == "" {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: rule}
	}
	text := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("rule"), text(rule), text("reason"), text(strings.TrimSpace(reason))}}
}

// disabledName is the rule of an item.
func disabledName(n *yaml.Node) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "rule" {
			return n.Content[i+1].Value
		}
	}
	return n.Value
}
