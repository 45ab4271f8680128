package notices

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// LogFile appends each notice to a file, one JSON object a line: for demonstrations, and for a provider whose own tool
// picks the notices up from there.
type LogFile struct {
	mu   sync.Mutex
	file *os.File
}

// NewLogFile opens or creates the file.
func NewLogFile(path string) (*LogFile, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the file of notices: %w", err)
	}
	return &LogFile{file: f}, nil
}

// Name is "log".
func (l *LogFile) Name() string { return "log" }

// Send appends the notice and makes it durable; the proof is its place in the file.
func (l *LogFile) Send(_ context.Context, n Notice) (string, error) {
	line, err := json.Marshal(map[string]any{
		"contract": n.Contract, "invoice": n.Debt.InvoiceID, "name": n.Customer.Name, "email": n.Customer.Email,
		"phone": n.Customer.Phone, "subject": n.Subject(), "text": n.Text(),
	})
	if err != nil {
		return "", fmt.Errorf("writing a notice: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at, err := l.file.Seek(0, 2)
	if err != nil {
		return "", fmt.Errorf("writing a notice: %w", err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return "", fmt.Errorf("writing a notice: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return "", fmt.Errorf("writing a notice: %w", err)
	}
	return fmt.Sprintf("%s at byte %d", l.file.Name(), at), nil
}

// Close the file.
func (l *LogFile) Close() error { return l.file.Close() }
