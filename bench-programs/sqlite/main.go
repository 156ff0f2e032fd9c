// Sqlite inserts rows and scans them, through mattn/go-sqlite3.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3"
)

const rows = 100_000

func main() {
	if os.Getenv("SQLITE_SERVE") != "" {
		serve()
		return
	}
	if file := os.Getenv("SQLITE_FILE"); file != "" {
		share(file)
		return
	}
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

// share has one goroutine write rows to a file, each in a transaction of its own, and three read them through the same
// cache, whose mutex the writer holds while it commits.
func share(file string) {
	os.Remove(file)
	db, err := sql.Open("sqlite3", "file:"+file+"?cache=shared&_sync=2")
	must(err)
	insert(db)
	writer, err := db.Conn(context.Background())
	must(err)
	var commits, scans atomic.Int64
	var done atomic.Bool
	var readers sync.WaitGroup
	for reader := 0; reader < 3; reader++ {
		readers.Go(func() {
			conn, err := db.Conn(context.Background())
			must(err)
			// It reads what is not committed yet: the cache's tables are never locked for it.
			_, err = conn.ExecContext(context.Background(), "pragma read_uncommitted = 1")
			must(err)
			for !done.Load() {
				var count int
				must(conn.QueryRowContext(context.Background(), "select count(*) from t where id % 1000 = 7").Scan(&count))
				scans.Add(1)
			}
		})
	}
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); commits.Add(1) {
		_, err := writer.ExecContext(context.Background(), "insert into t (name) values ('one more')")
		must(err)
	}
	done.Store(true)
	readers.Wait()
	must(os.Remove(file))
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"commits":      commits.Load(),
		"scans":        scans.Load(),
		"num_cgo_call": runtime.NumCgoCall(),
	})
}

// serve has four goroutines query without pause, and says for each line on its input how often the runtime has counted
// crossings by now.
func serve() {
	db, err := sql.Open("sqlite3", "file::memory:?cache=shared")
	must(err)
	insert(db)
	for worker := 0; worker < 4; worker++ {
		go func() {
			for {
				var count int
				must(db.QueryRow("select count(*) from t where id % 1000 = 7").Scan(&count))
				if count != rows/1000 {
					panic("rows are missing")
				}
			}
		}()
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(runtime.NumCgoCall())
	}
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
