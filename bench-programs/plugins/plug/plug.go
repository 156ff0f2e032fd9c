// A plugin that crosses when it is initialized, on other goroutines, and by callbacks on threads of Go's and of C's.
package main

/*
#cgo LDFLAGS: -lpthread
#include <pthread.h>

extern int doubled(int);

static int first(void) { return 1; }
static void inside(void) {}
static int calls_back(int number) { return doubled(number); }
static void *in_thread(void *number) { return doubled(*(int *)number) ? number : 0; }
static void calls_back_in_thread(int number) {
    pthread_t thread;
    if (pthread_create(&thread, 0, in_thread, &number) == 0) {
        pthread_join(thread, 0);
    }
}
*/
import "C"

import "sync"

func init() {
	for i := 0; i < 50; i++ {
		C.first()
	}
}

//export doubled
func doubled(number C.int) C.int { return 2 * number }

// Run crosses, adds how often to calls, and returns how often C called back.
func Run(calls map[string]int) int {
	var goroutines sync.WaitGroup
	for i := 0; i < 4; i++ {
		goroutines.Add(1)
		go func() {
			defer goroutines.Done()
			for i := 0; i < 25000; i++ {
				C.inside()
			}
		}()
	}
	goroutines.Wait()
	for i := 0; i < 300; i++ {
		C.calls_back(C.int(i))
	}
	for i := 0; i < 20; i++ {
		C.calls_back_in_thread(C.int(i))
	}
	calls["inside"], calls["calls_back"], calls["calls_back_in_thread"] = 100000, 300, 20
	return 320
}

func main() {}
