// A server that keeps its own counts, for tests/golang.rs: of calls, of returns, of calls that a panic or runtime.Goexit ended.
// It makes its own load: connections, each with requests one behind the other, whose handlers grow their stacks, panic, recover, or
// end their goroutine. What it counted it prints at the end.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var entered, returned, unwound, deep, deepReturned, texts, exits int64

// Request is what a handler works on.
type Request struct {
	Path string
	User *User
	Tags []string
	Body []byte
	Attr map[string]int
}

// User is behind a pointer.
type User struct {
	Name  string
	Level int32
	Admin bool
}

var errOdd = errors.New("odd")

// handle grows its stack on fresh goroutines, returns at several places, or panics.
//
//go:noinline
func (s *server) handle(r *Request, n int, how string) (text string, err error) {
	atomic.AddInt64(&entered, 1)
	atomic.AddInt64(&texts, int64(len(r.Path)))
	switch how {
	case "panic":
		atomic.AddInt64(&unwound, 1)
		panic("asked for")
	case "nil":
		atomic.AddInt64(&unwound, 1)
		var u *User
		return u.Name, nil
	case "exit":
		atomic.AddInt64(&unwound, 1)
		runtime.Goexit()
	}
	if n%7 == 0 {
		atomic.AddInt64(&returned, 1)
		return "seven", errOdd
	}
	sum := s.stack(n%40 + 1)
	atomic.AddInt64(&returned, 1)
	return r.Path + strconv.Itoa(sum), nil
}

// stack needs more of it with every call: it is copied to a larger place again and again.
//
//go:noinline
func (s *server) stack(n int) int {
	var room [512]byte
	atomic.AddInt64(&deep, 1)
	room[n%512] = byte(n)
	sum := int(room[(n*3)%512])
	if n > 0 {
		sum += s.stack(n - 1)
	}
	atomic.AddInt64(&deepReturned, 1)
	return sum + 1
}

// guarded recovers what handle panics with.
//
//go:noinline
func (s *server) guarded(r *Request, n int, how string) (text string, err error) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("recovered: %v", e)
		}
	}()
	return s.handle(r, n, how)
}

type server struct{ name string }

func (s *server) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	n, _ := strconv.Atoi(q.URL.Query().Get("n"))
	how := q.URL.Query().Get("how")
	r := &Request{Path: q.URL.Path, User: &User{"ada", 7, true}, Tags: []string{"a", "bc"}, Body: []byte("b\x00dy"), Attr: map[string]int{"k": n}}
	switch how {
	case "bare":
		// net/http itself recovers.
		s.handle(r, n, "panic")
	case "exit":
		atomic.AddInt64(&exits, 1)
		done := make(chan bool)
		go func() {
			defer close(done)
			s.handle(r, n, how)
		}()
		<-done
		io.WriteString(w, "gone")
		return
	}
	text, err := s.guarded(r, n, how)
	fmt.Fprintln(w, text, err)
}

func client(base string, id, requests int, group *sync.WaitGroup) {
	defer group.Done()
	ways := []string{"", "", "panic", "", "nil", "exit", "", "bare"}
	for i := 0; i < requests; i++ {
		how := ways[(i+id)%len(ways)]
		answer, err := http.Get(fmt.Sprintf("%s/path-%d?n=%d&how=%s", base, id, i, how))
		if err != nil {
			continue
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

func main() {
	clients, requests := 8, 200
	if len(os.Args) > 2 {
		clients, _ = strconv.Atoi(os.Args[1])
		requests, _ = strconv.Atoi(os.Args[2])
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := &server{"lab"}
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = clients
	web := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}
	go web.Serve(listener)
	var group sync.WaitGroup
	for i := 0; i < clients; i++ {
		group.Add(1)
		go client("http://"+listener.Addr().String(), i, requests, &group)
	}
	group.Wait()
	web.Close()
	// Those that still recover.
	time.Sleep(300 * time.Millisecond)
	load := func(n *int64) int64 { return atomic.LoadInt64(n) }
	fmt.Printf("entered %d returned %d unwound %d deep %d deepReturned %d texts %d\n",
		load(&entered), load(&returned), load(&unwound), load(&deep), load(&deepReturned), load(&texts))
}
