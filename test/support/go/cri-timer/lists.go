package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Between two lists over the same connection, and between two new connections: short beside a gap that anybody would
// notice, and long enough that the lists are no load of their own. This process goes before all others.
const (
	connectedPause = 20 * time.Millisecond
	anewPause      = 50 * time.Millisecond
)

type longList struct {
	AtMs int64   `json:"atMs"`
	Ms   float64 `json:"ms"`
}

type listedCalls struct {
	Count  int        `json:"count"`
	Long   []longList `json:"long"`
	Failed []string   `json:"failed"`
}

type listFigures struct {
	Connected listedCalls `json:"connected"`
	Anew      listedCalls `json:"anew"`
	// The longest time in which this process did not run: what it measures may be too long by as much.
	StallMs float64 `json:"stallMs"`
}

// Lists all the time until the input ends, over one connection and over a new one each time, and prints what it found:
// a list that took longer than `noted` with its moment.
func listUntilEnd(socket string, mayFail bool, noted time.Duration) error {
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		close(over)
	}()
	figures := listFigures{Connected: noCalls(), Anew: noCalls()}
	connection, client, err := connect(socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	var working sync.WaitGroup
	untilOver(&working, over, connectedPause, func(turn int) {
		figures.Connected.note(list(client, turn), mayFail, noted)
	})
	untilOver(&working, over, anewPause, func(turn int) {
		own, client, err := connect(socket)
		if err != nil {
			figures.Anew.Failed = append(figures.Anew.Failed, err.Error())
			return
		}
		defer own.Close()
		figures.Anew.note(list(client, turn), mayFail, noted)
	})
	lastAt := time.Now()
	untilOver(&working, over, time.Millisecond, func(int) {
		figures.StallMs = max(figures.StallMs, milliseconds(time.Since(lastAt)-time.Millisecond))
		lastAt = time.Now()
	})
	working.Wait()
	return json.NewEncoder(os.Stdout).Encode(figures)
}

func untilOver(working *sync.WaitGroup, over <-chan struct{}, pause time.Duration, work func(turn int)) {
	working.Add(1)
	go func() {
		defer working.Done()
		for turn := 0; ; turn++ {
			select {
			case <-over:
				return
			case <-time.After(pause):
				work(turn)
			}
		}
	}()
}

func noCalls() listedCalls {
	return listedCalls{Long: []longList{}, Failed: []string{}}
}

type listCall struct {
	beganAt time.Time
	took    time.Duration
	err     error
}

// Containers and sandboxes in turn.
func list(client cri.RuntimeServiceClient, turn int) listCall {
	call := listCall{beganAt: time.Now()}
	if turn%2 == 0 {
		_, call.err = listContainers(client)
	} else {
		_, call.err = listSandboxes(client)
	}
	call.took = time.Since(call.beganAt)
	return call
}

func (calls *listedCalls) note(call listCall, mayFail bool, noted time.Duration) {
	calls.Count++
	if call.err != nil && !mayFail {
		calls.Failed = append(calls.Failed, call.err.Error())
	}
	if call.took > noted {
		calls.Long = append(calls.Long, longList{AtMs: call.beganAt.UnixMilli(), Ms: milliseconds(call.took)})
	}
}

func milliseconds(duration time.Duration) float64 {
	return float64(duration.Nanoseconds()) / 1e6
}
