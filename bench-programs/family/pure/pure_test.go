package pure

import "testing"

func TestDouble(t *testing.T) {
	if Double(2) != 4 {
		t.Error("not the double")
	}
}

func BenchmarkDouble(b *testing.B) {
	for i := 0; i < b.N; i++ {
		Double(i)
	}
}
