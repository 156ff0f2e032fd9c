// Zstd compresses and decompresses blocks, through DataDog/zstd.
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"runtime"

	"github.com/DataDog/zstd"
)

func main() {
	const blocks = 300
	block := bytes.Repeat([]byte("crossing the border is not free; "), 2000)
	for i := 0; i < blocks; i++ {
		packed, err := zstd.CompressLevel(nil, block, 3)
		if err != nil {
			panic(err)
		}
		back, err := zstd.Decompress(nil, packed)
		if err != nil || !bytes.Equal(back, block) {
			panic("not what went in")
		}
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "zstd",
		"calls":        map[string]int{"ZSTD_compress": blocks, "ZSTD_decompress": blocks},
		"blocks":       blocks,
		"locked":       0,
		"abandoned":    map[string]int{},
		"callbacks":    0,
		"stacks":       map[string]int{},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
