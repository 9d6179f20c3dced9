package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// How long a connection may give nothing before it counts as held.
const silence = 60 * time.Second

// Forwards a local port, sends through it, ends its own direction unless told not to, and reads to the end.
func forward(s session) report {
	sent, received := newSink(), newSink()
	dialer, err := newDialer(s)
	if err != nil {
		return ended(err, sent, received, newSink())
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	var said bytes.Buffer
	forwarder, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", s.port)}, stop, ready, io.Discard, &said)
	if err != nil {
		return ended(err, sent, received, newSink())
	}
	done := make(chan error, 1)
	go func() { done <- forwarder.ForwardPorts() }()
	select {
	case err = <-done:
		return ended(err, sent, received, newSink())
	case <-ready:
	}
	err = through(s, forwarder, sent, received)
	close(stop)
	<-done
	seen := ended(err, sent, received, newSink())
	seen.Stderr.Text = said.String()
	return seen
}

func newDialer(s session) (httpstream.Dialer, error) {
	target, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	config := &rest.Config{Host: s.url}
	if s.transport == "websocket" {
		return portforward.NewSPDYOverWebsocketDialer(target, config)
	}
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	return spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target), nil
}

func through(s session, forwarder *portforward.PortForwarder, sent, received *sink) error {
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	if err != nil {
		return err
	}
	defer connection.Close()
	if s.slow {
		received.pause, received.pauses = 2*time.Millisecond, 500
	}
	if s.abortAfter > 0 {
		received.limit, received.onEnd = s.abortAfter, func() { connection.Close() }
	}
	written := make(chan error, 1)
	go func() {
		_, err := io.Copy(connection, io.TeeReader(input(s.stdinText, s.stdinBytes), sent))
		if err == nil && !s.keepStdin {
			err = connection.(*net.TCPConn).CloseWrite()
		}
		written <- err
	}()
	buffer := make([]byte, 64*1024)
	for {
		_ = connection.SetReadDeadline(time.Now().Add(silence))
		count, err := connection.Read(buffer)
		_, _ = received.Write(buffer[:count])
		if err == io.EOF {
			return <-written
		}
		if err != nil {
			return err
		}
	}
}
