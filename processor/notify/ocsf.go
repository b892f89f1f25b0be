package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// OCSFConfig says which file findings are appended to.
type OCSFConfig struct {
	// Name is the channel's name in records, logs and metrics.
	Name string
	// Path is of the file; it is made where there is none, readable by its owner
	// alone. Its folder must be there.
	Path string
	// Version is the program's.
	Version string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// OCSF appends findings to a file, one Detection Finding of the Open
// Cybersecurity Schema Framework a line. Whoever rotates the file moves it away:
// the next line makes another.
type OCSF struct {
	cfg OCSFConfig

	mu   sync.Mutex
	file *os.File // guarded by mu; nil before the first line
}

// NewOCSF checks the configuration and leaves the file alone.
func NewOCSF(cfg OCSFConfig) (*OCSF, error) {
	if cfg.Name == "" || cfg.Path == "" {
		return nil, errors.New("ocsf: want a name and a path")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &OCSF{cfg: cfg}, nil
}

// Name is the channel's name.
func (o *OCSF) Name() string { return o.cfg.Name }

// Close closes the file.
func (o *OCSF) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return nil
	}
	err := o.file.Close()
	o.file = nil
	return err
}

// Deliver appends one line and returns nil when it is on disk. After a crash the
// same line may follow: metadata.uid is the alert's id.
func (o *OCSF) Deliver(_ context.Context, a schemas.Alert) error {
	line, err := json.Marshal(o.finding(a))
	if err != nil {
		return fmt.Errorf("write the line: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.open(); err != nil {
		return err
	}
	if _, err := o.file.Write(append(line, '\n')); err != nil {
		err = fmt.Errorf("append to %s: %w", o.cfg.Path, err)
		return errors.Join(err, o.drop()) // what was written of the line is ended at the next open
	}
	if err := o.file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", o.cfg.Path, err), o.drop())
	}
	return nil
}

func (o *OCSF) drop() error {
	err := o.file.Close()
	o.file = nil
	return err
}

// open opens the file where it is not, or no longer under its path.
func (o *OCSF) open() error {
	if o.file != nil {
		is, err := o.file.Stat()
		at, atErr := os.Stat(o.cfg.Path)
		if err == nil && atErr == nil && os.SameFile(is, at) {
			return nil
		}
		_ = o.drop() // all of it is synced
	}
	_, err := os.Stat(o.cfg.Path)
	isNew := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(o.cfg.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", o.cfg.Path, err)
	}
	if isNew {
		err = syncFolder(filepath.Dir(o.cfg.Path))
	} else {
		err = endLine(f)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", o.cfg.Path, err), f.Close())
	}
	o.file = f
	return nil
}

// syncFolder makes a new file's name last.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// endLine ends a line that a crash has cut, so that it does not spoil the next.
func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.Write([]byte{'\n'})
	return err
}

// The numbers of https://schema.ocsf.io/1.5.0/classes/detection_finding.
const (
	ocsfVersion          = "1.5.0"
	ocsfCategoryFindings = 2
	ocsfDetectionFinding = 2004
	ocsfActivityCreate   = 1
	ocsfActivityUpdate   = 2
	ocsfActivityClose    = 3
	ocsfStatusNew        = 1
	ocsfStatusResolved   = 4
	ocsfAnalyticRule     = 1
)

type ocsfEvent struct {
	ActivityID int           `json:"activity_id"`
	Activity   string        `json:"activity_name"`
	CategoryID int           `json:"category_uid"`
	Category   string        `json:"category_name"`
	ClassID    int           `json:"class_uid"`
	Class      string        `json:"class_name"`
	TypeID     int           `json:"type_uid"`
	SeverityID int           `json:"severity_id"`
	Severity   string        `json:"severity"`
	StatusID   int           `json:"status_id"`
	Status     string        `json:"status"`
	IsAlert    bool          `json:"is_alert"`
	Time       int64         `json:"time"` // milliseconds, as all times
	StartTime  int64         `json:"start_time,omitempty"`
	EndTime    int64         `json:"end_time,omitempty"`
	Count      uint64        `json:"count,omitempty"`
	Message    string        `json:"message"`
	Metadata   ocsfMetadata  `json:"metadata"`
	Finding    ocsfFinding   `json:"finding_info"`
	Resources  []ocsfDetails `json:"resources,omitempty"`
	Remedy     *ocsfRemedy   `json:"remediation,omitempty"`
	Unmapped   *ocsfUnmapped `json:"unmapped,omitempty"`
}

type ocsfMetadata struct {
	Version string      `json:"version"`
	UID     string      `json:"uid"`
	Product ocsfProduct `json:"product"`
	Tenant  string      `json:"tenant_uid,omitempty"`
	Labels  []string    `json:"labels,omitempty"`
}

type ocsfProduct struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor_name"`
	Version string `json:"version,omitempty"`
}

type ocsfFinding struct {
	UID       string       `json:"uid"`
	Title     string       `json:"title"`
	Desc      string       `json:"desc,omitempty"`
	FirstSeen int64        `json:"first_seen_time,omitempty"`
	LastSeen  int64        `json:"last_seen_time,omitempty"`
	SourceURL string       `json:"src_url,omitempty"`
	Analytic  ocsfAnalytic `json:"analytic"`
}

type ocsfAnalytic struct {
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
	Name   string `json:"name"`
	UID    string `json:"uid"`
}

type ocsfDetails struct {
	UID   string     `json:"uid"`
	Name  string     `json:"name,omitempty"`
	Type  string     `json:"type"`
	Owner *ocsfOwner `json:"owner,omitempty"`
}

type ocsfOwner struct {
	Name string `json:"name"`
}

// ocsfRemedy is how to contain what was found.
type ocsfRemedy struct {
	Desc string `json:"desc"`
}

// ocsfUnmapped is what the class has no member for.
type ocsfUnmapped struct {
	SourceKnown *bool  `json:"source_known,omitempty"`
	TokensAlive uint64 `json:"tokens_alive,omitzero"`
	TokensUntil int64  `json:"tokens_until,omitempty"`
	Undo        string `json:"undo,omitempty"`
	Runbook     string `json:"runbook,omitempty"`

	Summary *schemas.Summary `json:"summary,omitempty"`
	Digest  *schemas.Digest  `json:"digest,omitempty"`
}

func (o *OCSF) finding(a schemas.Alert) ocsfEvent {
	f := a.Finding
	e := ocsfEvent{
		ActivityID: ocsfActivityCreate, Activity: "Create", CategoryID: ocsfCategoryFindings, Category: "Findings",
		ClassID: ocsfDetectionFinding, Class: "Detection Finding", StatusID: ocsfStatusNew, Status: "New", IsAlert: true,
		Time: o.cfg.Now().UnixMilli(), StartTime: millis(f.First), EndTime: millis(f.Last), Count: f.Count, Message: headline(a),
		Metadata: ocsfMetadata{Version: ocsfVersion, UID: a.ID, Product: ocsfProduct{"m2mwatch", "m2mwatch", o.cfg.Version}, Tenant: f.Tenant},
		Finding: ocsfFinding{
			UID: f.ID, Title: f.Title, Desc: f.Evidence.Summary, FirstSeen: millis(f.First), LastSeen: millis(f.Last), SourceURL: a.URL,
			Analytic: ocsfAnalytic{ocsfAnalyticRule, "Rule", f.Title, f.RuleID},
		},
	}
	if a.Told.Paged {
		e.ActivityID, e.Activity = ocsfActivityUpdate, "Update"
	}
	if f.State.Over() {
		e.ActivityID, e.Activity, e.StatusID, e.Status, e.IsAlert = ocsfActivityClose, "Close", ocsfStatusResolved, "Resolved", false
	}
	if a.Test {
		e.Metadata.Labels = []string{"test"}
	}
	e.TypeID = e.ClassID*100 + e.ActivityID
	e.SeverityID, e.Severity = ocsfSeverity(f.Level)
	if f.Identity != "" {
		e.Resources = []ocsfDetails{{UID: f.Identity, Name: f.Evidence.ClientName, Type: "machine identity"}}
		if f.Evidence.Owner != "" {
			e.Resources[0].Owner = &ocsfOwner{f.Evidence.Owner}
		}
	}
	e.explain(a)
	return e
}

// explain adds what is known beside the events.
func (e *ocsfEvent) explain(a schemas.Alert) {
	v := a.Finding.Evidence
	if v.Contain != "" {
		e.Remedy = &ocsfRemedy{v.Contain}
	}
	u := ocsfUnmapped{SourceKnown: v.SourceKnown, TokensAlive: v.TokensAlive, Undo: v.Undo, Runbook: v.Runbook, Summary: a.Summary, Digest: a.Digest}
	if v.TokensUntil != nil {
		u.TokensUntil = millis(*v.TokensUntil)
	}
	if u != (ocsfUnmapped{}) {
		e.Unmapped = &u
	}
}

// millis is 0 for the zero time, which no member then tells.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ocsfSeverity(l schemas.Level) (id int, caption string) {
	switch l {
	case schemas.LevelInformational:
		return 1, "Informational"
	case schemas.LevelLow:
		return 2, "Low"
	case schemas.LevelMedium:
		return 3, "Medium"
	case schemas.LevelHigh:
		return 4, "High"
	case schemas.LevelCritical:
		return 5, "Critical"
	}
	return 0, "Unknown"
}
