// Sqlite inserts rows and scans them, through mattn/go-sqlite3.
package main

import (
	"database/sql"
	"encoding/json"
	"os"
	"runtime"

	_ "github.com/mattn/go-sqlite3"
)

const rows = 100_000

func main() {
	db, err := sql.Open("sqlite3", ":memory:")
	must(err)
	db.SetMaxOpenConns(1)
	insert(db)
	scan(db)
	must(db.Close())
	// Each row inserted and each row scanned takes one step, and steps go through one C helper or another.
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "sqlite",
		"calls":        map[string]int{},
		"least_steps":  2 * rows,
		"locked":       0,
		"abandoned":    map[string]int{},
		"callbacks":    0,
		"stacks":       map[string]int{},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}

func insert(db *sql.DB) {
	_, err := db.Exec("create table t (id integer, name text)")
	must(err)
	tx, err := db.Begin()
	must(err)
	statement, err := tx.Prepare("insert into t values (?, ?)")
	must(err)
	for i := 0; i < rows; i++ {
		_, err := statement.Exec(i, "boundary")
		must(err)
	}
	must(statement.Close())
	must(tx.Commit())
}

func scan(db *sql.DB) {
	found, err := db.Query("select id, name from t")
	must(err)
	defer found.Close()
	count := 0
	for found.Next() {
		var id int
		var name string
		must(found.Scan(&id, &name))
		count++
	}
	if count != rows {
		panic("rows are missing")
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
