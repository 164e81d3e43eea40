// Troubles of a Go program, one at a time: what go/ scripts are tried against.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"
)

// stops collects garbage, and writes down the stacks of many goroutines, for which the world stands still.
func stops(until time.Time) {
	never := make(chan int)
	for i := 0; i < 2000; i++ {
		start(never)
	}
	stacks := make([]byte, 16<<20)
	for time.Now().Before(until) {
		runtime.GC()
		runtime.Stack(stacks, true)
		time.Sleep(20 * time.Millisecond)
	}
}

// wait reads from a peer that answers 600 ms late.
func wait(until time.Time) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			time.Sleep(600 * time.Millisecond)
			conn.Write([]byte("late"))
			conn.Close()
		}
	}()
	for time.Now().Before(until) {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			panic(err)
		}
		upstream(conn)
	}
}

//go:noinline
func upstream(conn net.Conn) {
	defer conn.Close()
	conn.Read(make([]byte, 16))
}

// busy has one processor, and goroutines that hold it for 30 ms each and wake each other.
func busy(until time.Time) {
	runtime.GOMAXPROCS(1)
	var mutex sync.Mutex
	cond := sync.NewCond(&mutex)
	for i := 0; i < 4; i++ {
		go func() {
			for {
				mutex.Lock()
				cond.Wait()
				mutex.Unlock()
				for begin := time.Now(); time.Since(begin) < 30*time.Millisecond; {
				}
			}
		}()
	}
	for time.Now().Before(until) {
		cond.Broadcast()
		time.Sleep(20 * time.Millisecond)
	}
}

// leak starts goroutines that never end.
func leak(until time.Time) {
	never := make(chan int)
	for time.Now().Before(until) {
		for i := 0; i < 100; i++ {
			start(never)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

//go:noinline
func start(never chan int) {
	go func() { <-never }()
}

// serve answers its own requests, and collects garbage meanwhile: no trouble, a service to look at.
func serve(until time.Time) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(3 * time.Millisecond)
		io.WriteString(w, "ok")
	}))
	for time.Now().Before(until) {
		answer, err := http.Get("http://" + listener.Addr().String() + "/orders")
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		runtime.GC()
	}
}

func main() {
	seconds, err := time.ParseDuration(os.Args[2])
	if err != nil {
		panic(err)
	}
	until := time.Now().Add(seconds)
	trouble := map[string]func(time.Time){"stops": stops, "wait": wait, "busy": busy, "leak": leak, "serve": serve}[os.Args[1]]
	trouble(until)
	fmt.Println("done")
}
