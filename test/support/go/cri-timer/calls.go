package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// Of one line of standard input.
const maxLineBytes = 1024 * 1024

// Of one call: a daemon that is gone would be waited for.
const callAtMost = 5 * time.Minute

// What a line of standard input asks for. The messages are encoded already: who measures knows the contract.
type asked struct {
	Id int64 `json:"id"`
	// Such as /runtime.v1.RuntimeService/RunPodSandbox.
	Method  string `json:"method"`
	Request []byte `json:"request"`
}

// What a line of standard output says of it, in the order in which the calls end.
type answered struct {
	Id          int64  `json:"id"`
	Nanoseconds int64  `json:"nanoseconds"`
	Answer      []byte `json:"answer"`
	Error       string `json:"error,omitempty"`
}

// Messages that stay as they are.
type rawCodec struct{}

func (rawCodec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (rawCodec) Unmarshal(bytes []byte, message any) error {
	*message.(*[]byte) = bytes
	return nil
}

// No name: a codec with one makes the content type "application/grpc+NAME", and CRI-O ends connections whose type is
// not the plain one of the kubelet.
func (rawCodec) Name() string { return "" }

// Makes each call as soon as its line comes, beside those in progress, until the input ends.
func makeCalls(socket string) error {
	connection, _, err := connect(socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLineBytes)
	var inProgress sync.WaitGroup
	var printing sync.Mutex
	for lines.Scan() {
		var call asked
		if err := json.Unmarshal(lines.Bytes(), &call); err != nil {
			return fmt.Errorf("read a call: %w", err)
		}
		inProgress.Add(1)
		go func() {
			defer inProgress.Done()
			result := answered{Id: call.Id}
			ctx, cancel := context.WithTimeout(context.Background(), callAtMost)
			defer cancel()
			startedAt := time.Now()
			err := connection.Invoke(ctx, call.Method, &call.Request, &result.Answer,
				grpc.ForceCodec(rawCodec{}), grpc.WaitForReady(true))
			result.Nanoseconds = time.Since(startedAt).Nanoseconds()
			if err != nil {
				result.Error = err.Error()
			}
			printing.Lock()
			defer printing.Unlock()
			_ = json.NewEncoder(os.Stdout).Encode(result)
		}()
	}
	inProgress.Wait()
	return lines.Err()
}
