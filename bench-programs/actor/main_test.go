package main

import "testing"

func TestCross(t *testing.T) {
	if cross() != 999000 {
		t.Fatal("wrong sum")
	}
}
