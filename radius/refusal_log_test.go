package radius

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/rs/zerolog"
)

// Logins that nobody has are cheap to invent: the log has some of them, the metrics all.
func TestInventedLoginsDoNotFloodTheLog(t *testing.T) {
	var log bytes.Buffer
	c := doorConfig()
	c.Log = zerolog.New(&log)
	w := newHandler(t, c)
	const n = 10 * refusalLogMost
	for i := range n {
		w.give(request(t, user(fmt.Sprintf("invented-%d", i)), pap("x")))
	}
	lines := bytes.Count(log.Bytes(), []byte("login refused"))
	if lines < refusalLogMost || lines > n/2 {
		t.Errorf("%d refusals made %d lines", n, lines)
	}
	if kept := len(w.door.Refusals().Recent("", n)); kept != refusalsKept {
		t.Errorf("the panel has %d", kept)
	}
}
