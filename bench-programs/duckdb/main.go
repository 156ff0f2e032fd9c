// Command duckdb fills a table through go-duckdb and queries it. It prints how many calls of C that took as JSON.
package main

import (
	"database/sql"
	"encoding/json"
	"os"
	"runtime"

	_ "github.com/marcboeker/go-duckdb"
)

func main() {
	db, err := sql.Open("duckdb", "")
	must(err)
	_, err = db.Exec(`CREATE TABLE t AS SELECT range AS a, hash(range) % 1000 AS b FROM range(2000000)`)
	must(err)
	rows, n := 0, 0
	for i := 0; i < 20; i++ {
		r, err := db.Query(`SELECT b, count(*), sum(a) FROM t WHERE a % 7 = ? GROUP BY b ORDER BY 2 DESC LIMIT 100`, i%7)
		must(err)
		for r.Next() {
			var b, c int64
			var s any
			must(r.Scan(&b, &c, &s))
			rows++
		}
		must(r.Close())
		n++
	}
	must(db.Close())
	json.NewEncoder(os.Stdout).Encode(map[string]any{"queries": n, "rows": rows, "num_cgo_call": runtime.NumCgoCall()})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
