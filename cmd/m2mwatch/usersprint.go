package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// hiding keeps secrets in users' documents from being printed: tokens of other
// providers, and what was put into metadata.
type hiding struct{ reveal bool }

func (h *hiding) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&h.reveal, "reveal-secrets", false, "print tokens of other providers and secrets in metadata, too")
}

// hide replaces secrets, and says that there were some.
func (h *hiding) hide(inv *invocation, raws ...json.RawMessage) ([]json.RawMessage, error) {
	if h.reveal {
		return raws, nil
	}
	shown, all := make([]json.RawMessage, 0, len(raws)), 0
	for _, raw := range raws {
		safe, hidden, err := provision.Redact(raw)
		if err != nil {
			return nil, err
		}
		shown, all = append(shown, safe), all+hidden
	}
	if all > 0 {
		fmt.Fprintf(inv.stderr, "hidden: %d secrets (--reveal-secrets prints them)\n", all)
	}
	return shown, nil
}

// print prints one document of a user, where there is one.
func (h *hiding) print(inv *invocation, raw json.RawMessage, asJSON bool) error {
	if raw == nil {
		return nil
	}
	shown, err := h.hide(inv, raw)
	if err != nil {
		return err
	}
	return printDocument(inv, shown[0], asJSON)
}
