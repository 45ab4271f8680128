package radius

import (
	"bytes"
	"testing"

	//lint:ignore SA1019 what md4Of is held against
	"golang.org/x/crypto/md4"
	"pgregory.net/rapid"
)

func TestMD4AgainstAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.SliceOfN(rapid.Byte(), 0, 2*maxNTPassword).Draw(t, "message")
		want := md4.New()
		want.Write(message)
		room := append(bytes.Clone(message), bytes.Repeat([]byte{0xff}, md4Padding)...) // what was there before does not matter
		if got := md4Of(room, len(message)); !bytes.Equal(got[:], want.Sum(nil)) {
			t.Fatalf("%x, want %x", got, want.Sum(nil))
		}
	})
}

func BenchmarkMD4(b *testing.B) {
	room := make([]byte, 20+md4Padding)
	b.ReportAllocs()
	for b.Loop() {
		md4Of(room, 20)
	}
}
