// The service of `lab accuracy`: net/http, handlers whose delays are known, faults on demand, and a log of what really happened.
//
//	shop LISTEN ADMIN UPSTREAM LOG
//
// Paths end in the request's number: /ok/17, /slow/17?ms=300, /wait/17?ms=300 (asks the upstream on a connection that the handler's
// goroutine itself reads), /fetch/17?ms=300 (asks it with an http.Client), /big/17?kb=256. ADMIN takes
// /gc?ms=300 and /burn?ms=1000. Each line of LOG is a request, or a garbage collection that was asked for. Times are CLOCK_BOOTTIME.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// How long a handler works if nothing is asked of it.
const usual = 5 * time.Millisecond

type connKey struct{}

// service is what the handlers share.
type service struct {
	upstream string
	idle     chan net.Conn
	mutex    sync.Mutex
	log      *bufio.Writer
}

func boot() int64 {
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 7, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

func (s *service) write(format string, args ...interface{}) {
	s.mutex.Lock()
	fmt.Fprintf(s.log, format+"\n", args...)
	s.mutex.Unlock()
}

func (s *service) flush() {
	s.mutex.Lock()
	s.log.Flush()
	s.mutex.Unlock()
}

func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.URL.Query().Get(name))
	return n
}

// ask waits for the upstream on a connection of its own or an idle one, as a client of a database does: this goroutine writes and reads.
func (s *service) ask(ms int) error {
	var conn net.Conn
	select {
	case conn = <-s.idle:
	default:
		var err error
		if conn, err = net.Dial("tcp", s.upstream); err != nil {
			return err
		}
	}
	answer := make([]byte, 16)
	if _, err := fmt.Fprintf(conn, "wait %d\n", ms); err != nil {
		conn.Close()
		return err
	}
	if _, err := conn.Read(answer); err != nil {
		conn.Close()
		return err
	}
	select {
	case s.idle <- conn:
	default:
		conn.Close()
	}
	return nil
}

// fetch asks the upstream with an http.Client: other goroutines read its connections.
func (s *service) fetch(ms int) error {
	answer, err := http.Get(fmt.Sprintf("http://%s/%d", s.upstream, ms))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := boot()
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) != 3 {
		http.NotFound(w, r)
		return
	}
	n, _ := strconv.Atoi(parts[2])
	body := []byte("done\n")
	var asked, answered int64
	switch parts[1] {
	case "slow":
		time.Sleep(time.Duration(number(r, "ms")) * time.Millisecond)
	case "wait", "fetch":
		time.Sleep(usual)
		ask := s.ask
		if parts[1] == "fetch" {
			ask = s.fetch
		}
		asked = boot()
		if err := ask(number(r, "ms")); err != nil {
			http.Error(w, err.Error(), 502)
			return
		}
		answered = boot()
	case "big":
		time.Sleep(usual)
		body = make([]byte, number(r, "kb")*1024)
	default:
		time.Sleep(usual)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	// Tells whether request and response were put together rightly.
	w.WriteHeader(200 + n%4)
	w.Write(body)
	index := r.Context().Value(connKey{}).(*int)
	*index++
	_, port, _ := net.SplitHostPort(r.RemoteAddr)
	s.write(`{"n":%d,"port":%s,"index":%d,"begin":%d,"end":%d,"asked":%d,"answered":%d}`, n, port, *index-1, begin, boot(), asked, answered)
}

// A list long enough for the collector to have something to mark.
type node struct {
	next *node
	room [48]byte
}

var heap *node
var sink uint64

// spin has no call, so that no goroutine can be stopped in it (GODEBUG=asyncpreemptoff=1): who stops the world waits for it.
//
//go:noinline
func spin(turns uint64) uint64 {
	x := uint64(1)
	for i := uint64(0); i < turns; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

var turnsPerMs uint64

func calibrate() {
	const turns = 20000000
	begin := boot()
	sink += spin(turns)
	turnsPerMs = turns * 1000000 / uint64(boot()-begin)
}

// collect is a collection that must wait for a goroutine which can't be stopped: all others stand still for as long.
func (s *service) collect(ms int) {
	started := make(chan bool)
	done := make(chan bool)
	go func() {
		started <- true
		sink += spin(turnsPerMs * uint64(ms))
		close(done)
	}()
	<-started
	begin := boot()
	runtime.GC()
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	<-done
	if len(stats.Pause) > 0 {
		s.write(`{"gc":%d,"begin":%d,"end":%d}`, stats.NumGC, begin, begin+int64(stats.Pause[0]))
	}
}

func (s *service) admin(w http.ResponseWriter, r *http.Request) {
	ms := number(r, "ms")
	switch r.URL.Path {
	case "/gc":
		s.collect(ms)
	case "/burn":
		until := boot() + int64(ms)*1000000
		for i := 0; i < runtime.NumCPU(); i++ {
			go func() {
				for boot() < until {
					sink += spin(10000)
				}
			}()
		}
	}
	fmt.Fprintln(w, "done")
}

func main() {
	file, err := os.Create(os.Args[4])
	if err != nil {
		panic(err)
	}
	begin := boot()
	s := &service{upstream: os.Args[3], idle: make(chan net.Conn, 256), log: bufio.NewWriterSize(file, 1<<16)}
	// What the runtime says of its collections (GODEBUG=gctrace=1) counts from here, all but a ms of its own start.
	s.write(`{"main":%d}`, begin)
	for i := 0; i < 200000; i++ {
		heap = &node{next: heap}
	}
	calibrate()
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 256
	web := &http.Server{Addr: os.Args[1], Handler: s, ConnContext: func(c context.Context, _ net.Conn) context.Context {
		return context.WithValue(c, connKey{}, new(int))
	}}
	go func() { panic(http.ListenAndServe(os.Args[2], http.HandlerFunc(s.admin))) }()
	go func() { panic(web.ListenAndServe()) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	for {
		select {
		case <-stop:
			s.flush()
			return
		case <-time.After(200 * time.Millisecond):
			s.flush()
		}
	}
}
