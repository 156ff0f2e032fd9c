package border

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	status := m.Run()
	WriteCount()
	os.Exit(status)
}

func TestCross(t *testing.T) {
	Cross(1234)
}

func BenchmarkCross(b *testing.B) {
	Cross(b.N)
}
