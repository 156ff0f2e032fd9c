package benchmarks

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// more is what a later version crosses more often.
func more() int {
	n, _ := strconv.Atoi(os.Getenv("MORE"))
	return n
}

func BenchmarkN(b *testing.B) {
	for i := 0; i < b.N; i++ {
		Cross(3 + more())
	}
}

func BenchmarkLoop(b *testing.B) {
	Cross(7)
	for b.Loop() {
		Cross(2)
	}
}

func BenchmarkParts(b *testing.B) {
	Cross(50)
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for i := 0; i < b.N; i++ {
				Cross(n)
			}
		})
	}
}

func BenchmarkSizes(b *testing.B) {
	b.Run("size-8", func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			Cross(8)
		}
	})
}

func BenchmarkParallel(b *testing.B) {
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			Cross(5)
		}
	})
}

func BenchmarkNone(b *testing.B) {
	for i := 0; i < b.N; i++ {
	}
}

func BenchmarkElsewhere(b *testing.B) {
	done := make(chan bool)
	for i := 0; i < b.N; i++ {
		go func() {
			Cross(1)
			done <- true
		}()
		<-done
	}
}
