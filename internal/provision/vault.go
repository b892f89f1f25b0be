package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
)

// Vault keeps backups: files in a folder, each encrypted (age) to the recipients,
// so that who can read the folder cannot read them.
type Vault struct {
	dir        string
	recipients []age.Recipient
}

// VaultConfig says where backups are kept and who can read them.
type VaultConfig struct {
	Dir            string   // made where it is not there
	Recipients     []string // age1…
	RecipientsFile string   // with one a line
	// IdentityFile holds a key that can read them, age's form; made where there is
	// none. Whoever has it can restore, so it belongs elsewhere than the backups.
	IdentityFile string
}

// NewVault makes a Vault. Without a recipient nobody could read a backup: that is
// an error. made tells that the identity file was made.
func NewVault(c VaultConfig) (v *Vault, made bool, err error) {
	v = &Vault{dir: c.Dir}
	list := strings.Join(c.Recipients, "\n")
	if c.RecipientsFile != "" {
		text, err := os.ReadFile(c.RecipientsFile)
		if err != nil {
			return nil, false, fmt.Errorf("read the recipients: %w", err)
		}
		list += "\n" + string(text)
	}
	if strings.TrimSpace(list) != "" {
		if v.recipients, err = age.ParseRecipients(strings.NewReader(list)); err != nil {
			return nil, false, fmt.Errorf("read the recipients: %w", err)
		}
	}
	if c.IdentityFile != "" {
		recipient, isNew, err := recipientOf(c.IdentityFile)
		if err != nil {
			return nil, false, err
		}
		v.recipients, made = append(v.recipients, recipient), isNew
	}
	if len(v.recipients) == 0 {
		return nil, false, errors.New("nobody could read a backup: name a recipient or an identity file")
	}
	return v, made, nil
}

// recipientOf reads the identity file, or makes it.
func recipientOf(path string) (recipient age.Recipient, made bool, err error) {
	identities, err := readIdentities(path)
	if err == nil {
		for _, identity := range identities {
			if x, ok := identity.(*age.X25519Identity); ok {
				return x.Recipient(), false, nil
			}
		}
		return nil, false, fmt.Errorf("%s has no key of the form AGE-SECRET-KEY-1…: name a recipient beside it", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, false, fmt.Errorf("make an identity: %w", err)
	}
	text := fmt.Sprintf("# public key: %s\n%s\n", identity.Recipient(), identity)
	if err := WriteSecret(path, []byte(text)); err != nil {
		return nil, false, err
	}
	return identity.Recipient(), true, nil
}

func readIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the identity: %w", err)
	}
	defer f.Close()
	identities, err := age.ParseIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("read the identity %s: want age's form", path) // its error may quote the key
	}
	return identities, nil
}

// Path is where Save keeps what has that name at that time.
func (v *Vault) Path(name string, at time.Time) string { return BackupPath(v.dir, name, at, ".age") }

// BackupPath is a file for what has that name at that time; what of the name could
// lead out of the folder is replaced.
func BackupPath(dir, name string, at time.Time, ending string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, name)
	return filepath.Join(dir, fmt.Sprintf("%s-%s%s", strings.TrimLeft(safe, "."), at.UTC().Format("20060102T150405.000Z"), ending))
}

// Save encrypts content as JSON. When it returns without an error, the file is on
// disk, and none that was there before was touched.
func (v *Vault) Save(path string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, v.recipients...)
	if err != nil {
		return fmt.Errorf("encrypt the backup: %w", err)
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("encrypt the backup: %w", err)
	}
	if err := MakeDir(v.dir); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return WriteSecret(path, sealed.Bytes())
}

// maxBackup bounds what is read as a backup.
const maxBackup = 64 << 20

// OpenBackup decrypts what Save has kept.
func OpenBackup(path, identityFile string) ([]byte, error) {
	identities, err := readIdentities(identityFile)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	defer f.Close()
	r, err := age.Decrypt(f, identities...)
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxBackup))
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", path, err)
	}
	return text, nil
}

// WriteSecret writes a file that the user alone can read. It must not be there
// yet; when there is no error it is on disk.
func WriteSecret(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(path) // half of it is worse than none
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Reserved is a new file with room for a secret that is not known yet, and after
// whose making the old one is gone: what can fail of a file has not, then.
type Reserved struct{ f *os.File }

// reservedSize is more than any secret that Auth0 makes, which have 64 characters.
const reservedSize = 256

// IsReserved reports whether a file was reserved and never filled: who did so was
// killed in between, and the secret that was made, if one was, is nowhere.
func IsReserved(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != reservedSize {
		return false
	}
	content, err := os.ReadFile(path)
	return err == nil && len(bytes.Trim(content, " ")) == 0
}

// Reserve makes the file for the user alone. It must not be there yet, unless it
// was reserved and never filled. It is on disk, full of spaces, when there is no
// error.
func Reserve(path string) (*Reserved, error) {
	if !IsReserved(path) {
		if err := WriteSecret(path, bytes.Repeat([]byte(" "), reservedSize)); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		_ = os.Remove(path) // it holds nothing
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // a run that was killed holds none
		f.Close()
		return nil, fmt.Errorf("%s is reserved by another run, which has not ended: %w", path, err)
	}
	return &Reserved{f}, nil
}

// Fill writes the secret and closes the file, which stays whatever fails: it may
// have the only copy.
func (r *Reserved) Fill(content []byte) error {
	_, err := r.f.WriteAt(content, 0)
	if err == nil {
		err = r.f.Truncate(int64(len(content)))
	}
	if err = errors.Join(err, r.f.Sync(), r.f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", r.f.Name(), err)
	}
	return nil
}

// Remove gives up a file that was not filled.
func (r *Reserved) Remove() {
	_ = r.f.Close()
	_ = os.Remove(r.f.Name()) // it holds nothing
}

// syncDir makes a new name in a folder last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MakeDir makes a folder and those above it, and makes their names last.
func MakeDir(dir string) error {
	dir = filepath.Clean(dir)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := MakeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}
