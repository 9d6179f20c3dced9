// One session of exec, attach or port-forward with the client library of Kubernetes, as kubectl has it. Prints what it
// saw as one line of JSON; ends with 0 whenever it could tell, whatever the session ended with.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
)

// Most text that is told; the rest is only counted and hashed.
const textBytes = 4096

type output struct {
	Bytes  int64  `json:"bytes"`
	Sha256 string `json:"sha256"`
	Text   string `json:"text"`
}

type report struct {
	Sent   output `json:"sent"`
	Stdout output `json:"stdout"`
	Stderr output `json:"stderr"`
	// Empty when the session ended well.
	Error string `json:"error"`
	// -1 when the protocol told none.
	ExitCode int     `json:"exitCode"`
	Seconds  float64 `json:"seconds"`
}

// A place for output: counts, hashes, and can be slow or end the session after some bytes.
type sink struct {
	mutex sync.Mutex
	bytes int64
	hash  interface {
		io.Writer
		Sum([]byte) []byte
	}
	text   strings.Builder
	pause  time.Duration
	pauses int
	limit  int64
	onEnd  func()
	first  chan struct{}
	once   sync.Once
}

func newSink() *sink { return &sink{hash: sha256.New(), first: make(chan struct{})} }

func (s *sink) Write(data []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.pauses > 0 {
		s.pauses--
		time.Sleep(s.pause)
	}
	s.bytes += int64(len(data))
	_, _ = s.hash.Write(data)
	if left := textBytes - s.text.Len(); left > 0 {
		s.text.Write(data[:min(left, len(data))])
	}
	s.once.Do(func() { close(s.first) })
	if s.limit > 0 && s.bytes >= s.limit && s.onEnd != nil {
		s.onEnd()
	}
	return len(data), nil
}

func (s *sink) report() output {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return output{s.bytes, hex.EncodeToString(s.hash.Sum(nil)), s.text.String()}
}

// The given text, or so many bytes that follow from a fixed seed.
func input(text string, size int64) io.Reader {
	if size == 0 {
		return strings.NewReader(text)
	}
	return io.LimitReader(rand.New(rand.NewSource(1)), size)
}

// Gives the first size at once and the second when output has come.
type sizes struct {
	queue []remotecommand.TerminalSize
	after <-chan struct{}
	given int
}

func (s *sizes) Next() *remotecommand.TerminalSize {
	if s.given >= len(s.queue) {
		return nil
	}
	if s.given > 0 {
		<-s.after
	}
	s.given++
	return &s.queue[s.given-1]
}

type session struct {
	mode, url, transport, protocol, stdinText, sizes string
	stdinBytes, abortAfter                           int64
	stdin, keepStdin, stdout, stderr, tty, slow      bool
	port                                             int
}

func parse() session {
	var s session
	flag.StringVar(&s.mode, "mode", "command", "command or forward")
	flag.StringVar(&s.url, "url", "", "what the RPC answered")
	flag.StringVar(&s.transport, "transport", "spdy", "spdy or websocket")
	flag.StringVar(&s.protocol, "protocol", "v4.channel.k8s.io", "subprotocol of a command")
	flag.StringVar(&s.stdinText, "stdin-text", "", "")
	flag.Int64Var(&s.stdinBytes, "stdin-bytes", 0, "")
	flag.BoolVar(&s.stdin, "stdin", false, "")
	flag.BoolVar(&s.keepStdin, "keep-stdin", false, "don't end stdin after its bytes")
	flag.BoolVar(&s.stdout, "stdout", false, "")
	flag.BoolVar(&s.stderr, "stderr", false, "")
	flag.BoolVar(&s.tty, "tty", false, "")
	flag.StringVar(&s.sizes, "sizes", "", "WxH,WxH: the second is sent when output has come")
	flag.BoolVar(&s.slow, "slow", false, "read slowly")
	flag.Int64Var(&s.abortAfter, "abort-after", 0, "bytes of output after which the client goes")
	flag.IntVar(&s.port, "port", 0, "of the pod, to be forwarded")
	flag.Parse()
	return s
}

func main() {
	s := parse()
	started := time.Now()
	seen := newReport(s)
	seen.Seconds = time.Since(started).Seconds()
	text, err := json.Marshal(seen)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}

func newReport(s session) report {
	if s.mode == "forward" {
		return forward(s)
	}
	return command(s)
}

func command(s session) report {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stdout, stderr, sent := newSink(), newSink(), newSink()
	stdout.limit, stdout.onEnd = s.abortAfter, cancel
	if s.slow {
		stdout.pause, stdout.pauses = 2*time.Millisecond, 500
	}
	options := remotecommand.StreamOptions{Tty: s.tty}
	if s.stdout {
		options.Stdout = stdout
	}
	if s.stderr && !s.tty {
		options.Stderr = stderr
	}
	if s.stdin {
		reader := io.TeeReader(input(s.stdinText, s.stdinBytes), sent)
		if s.keepStdin {
			reader = io.MultiReader(reader, never{ctx})
		}
		options.Stdin = reader
	}
	if s.sizes != "" {
		options.TerminalSizeQueue = parseSizes(s.sizes, stdout.first)
	}
	executor, err := newExecutor(s)
	if err == nil {
		err = executor.StreamWithContext(ctx, options)
	}
	return ended(err, sent, stdout, stderr)
}

// An input that neither gives anything nor ends while the session is there.
type never struct{ ctx context.Context }

func (n never) Read([]byte) (int, error) {
	<-n.ctx.Done()
	return 0, io.EOF
}

func parseSizes(text string, after <-chan struct{}) *sizes {
	all := &sizes{after: after}
	for _, one := range strings.Split(text, ",") {
		var size remotecommand.TerminalSize
		if _, err := fmt.Sscanf(one, "%dx%d", &size.Width, &size.Height); err == nil {
			all.queue = append(all.queue, size)
		}
	}
	return all
}

func newExecutor(s session) (remotecommand.Executor, error) {
	if s.transport == "websocket" {
		return remotecommand.NewWebSocketExecutorForProtocols(&rest.Config{Host: s.url}, http.MethodGet, s.url, s.protocol)
	}
	target, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: s.url})
	if err != nil {
		return nil, err
	}
	return remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, http.MethodPost, target, s.protocol)
}

func ended(err error, sent, stdout, stderr *sink) report {
	seen := report{Sent: sent.report(), Stdout: stdout.report(), Stderr: stderr.report(), ExitCode: -1}
	var exit utilexec.CodeExitError
	switch {
	case err == nil:
		seen.ExitCode = 0
	case errors.As(err, &exit):
		seen.ExitCode, seen.Error = exit.Code, err.Error()
	default:
		seen.Error = err.Error()
	}
	return seen
}
