// A client as the kubelet is one: grpc-go and the published CRI. Times calls of a daemon for the bench.
//
//	cri-timer list SOCKET CALLS    ListContainers again and again: nanoseconds of each call
//	cri-timer status SOCKET CALLS  the same of ContainerStatus, for the first container of the list
//	cri-timer one SOCKET CALLS     the same of ListContainers with the id of that container
//	cri-timer sandboxes SOCKET CALLS  the same of ListPodSandbox
//	cri-timer stats SOCKET CALLS PAUSE  the same of ListContainerStats, so many ms apart
//	cri-timer calls SOCKET         the calls that its standard input names: nanoseconds of each, see calls.go
//	cri-timer lists SOCKET served|killed NOTED  lists all the time until the input ends, see lists.go; killed: calls may
//	                               fail; those of more than NOTED ms are named
//	cri-timer await SOCKET         waits for a daemon that is about to start: until its first whole lists
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// As the kubelet's own: a list of many containers is larger than the default of 4 MiB.
const maxMessageBytes = 16 * 1024 * 1024

// Between two looks for a daemon that does not answer yet.
const lookAgain = time.Millisecond

// A daemon that was killed is back sooner than after the library's second.
const reconnectAfter = 20 * time.Millisecond

// For one attempt to connect, the server's preface included, as the kubelet has it; left out it is the pause above.
const connectAtMost = 5 * time.Second

// Of the whole wait.
const awaitAtMost = 60 * time.Second

// Calls before any is counted: connection, first allocation of the buffers.
const warmUp = 20

type listed struct {
	Nanoseconds []int64 `json:"nanoseconds,omitempty"`
	Containers  int     `json:"containers"`
	Sandboxes   int     `json:"sandboxes"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cri-timer:", err)
		os.Exit(1)
	}
}

// What is called again and again, by the word that asks for it.
var repeated = map[string]func(cri.RuntimeServiceClient) (int, error){
	"list":      listContainers,
	"sandboxes": listSandboxes,
	"status":    ofFirst(containerStatus),
	"one":       ofFirst(listOne),
}

func run(args []string) error {
	switch {
	case len(args) == 3 && repeated[args[0]] != nil:
		calls, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return timeCalls(args[1], calls, 0, repeated[args[0]])
	case len(args) == 4 && args[0] == "stats":
		calls, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		pause, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return timeCalls(args[1], calls, time.Duration(pause)*time.Millisecond, listStats)
	case len(args) == 2 && args[0] == "await":
		return awaitLists(args[1])
	case len(args) == 2 && args[0] == "calls":
		return makeCalls(args[1])
	case len(args) == 4 && args[0] == "lists":
		noted, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return listUntilEnd(args[1], args[2] == "killed", time.Duration(noted)*time.Millisecond)
	default:
		return fmt.Errorf("usage: cri-timer list|sandboxes|status|one SOCKET CALLS | cri-timer stats SOCKET CALLS PAUSE | cri-timer lists SOCKET served|killed NOTED | cri-timer calls|await SOCKET")
	}
}

func connect(socket string) (*grpc.ClientConn, cri.RuntimeServiceClient, error) {
	connection, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connectAtMost, Backoff: backoff.Config{
			BaseDelay: reconnectAfter, Multiplier: 1, MaxDelay: reconnectAfter}}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)))
	if err != nil {
		return nil, nil, err
	}
	return connection, cri.NewRuntimeServiceClient(connection), nil
}

func listContainers(client cri.RuntimeServiceClient) (int, error) {
	answer, err := client.ListContainers(context.Background(), &cri.ListContainersRequest{})
	return len(answer.GetContainers()), err
}

func listSandboxes(client cri.RuntimeServiceClient) (int, error) {
	answer, err := client.ListPodSandbox(context.Background(), &cri.ListPodSandboxRequest{})
	return len(answer.GetItems()), err
}

func containerStatus(client cri.RuntimeServiceClient, id string) error {
	_, err := client.ContainerStatus(context.Background(), &cri.ContainerStatusRequest{ContainerId: id})
	return err
}

func listOne(client cri.RuntimeServiceClient, id string) error {
	filter := &cri.ContainerFilter{Id: id}
	_, err := client.ListContainers(context.Background(), &cri.ListContainersRequest{Filter: filter})
	return err
}

// The call for the first container of the list, which is asked for once: with the first call, which is not counted.
func ofFirst(read func(cri.RuntimeServiceClient, string) error) func(cri.RuntimeServiceClient) (int, error) {
	id := ""
	return func(client cri.RuntimeServiceClient) (int, error) {
		if id == "" {
			answer, err := client.ListContainers(context.Background(), &cri.ListContainersRequest{})
			if err != nil {
				return 0, err
			}
			if len(answer.Containers) == 0 {
				return 0, fmt.Errorf("there is no container")
			}
			id = answer.Containers[0].Id
		}
		return 1, read(client, id)
	}
}

func listStats(client cri.RuntimeServiceClient) (int, error) {
	answer, err := client.ListContainerStats(context.Background(), &cri.ListContainerStatsRequest{})
	return len(answer.GetStats()), err
}

// Prints how long each call took, and how many containers the last one told.
func timeCalls(socket string, calls int, pause time.Duration, call func(cri.RuntimeServiceClient) (int, error)) error {
	connection, client, err := connect(socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	result := listed{}
	for at := -warmUp; at < calls; at++ {
		if at >= 0 {
			time.Sleep(pause)
		}
		startedAt := time.Now()
		result.Containers, err = call(client)
		took := time.Since(startedAt)
		if err != nil {
			return err
		}
		if at >= 0 {
			result.Nanoseconds = append(result.Nanoseconds, took.Nanoseconds())
		}
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// Says "waiting" once it looks, so that its own start is not counted as the daemon's.
func awaitLists(socket string) error {
	fmt.Println("waiting")
	for deadline := time.Now().Add(awaitAtMost); time.Now().Before(deadline); time.Sleep(lookAgain) {
		// grpc-go waits a second after a refused connection, so it is asked once somebody listens
		probe, err := net.Dial("unix", socket)
		if err != nil {
			continue
		}
		probe.Close()
		result, err := lists(socket)
		if err != nil {
			continue
		}
		return json.NewEncoder(os.Stdout).Encode(result)
	}
	return fmt.Errorf("no list within %v", awaitAtMost)
}

// Both lists; asks again for as long as the daemon answers that it is not ready.
func lists(socket string) (*listed, error) {
	connection, client, err := connect(socket)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	for {
		containers, err := client.ListContainers(context.Background(), &cri.ListContainersRequest{})
		if err == nil {
			sandboxes, err := client.ListPodSandbox(context.Background(), &cri.ListPodSandboxRequest{})
			if err != nil {
				return nil, err
			}
			return &listed{Containers: len(containers.Containers), Sandboxes: len(sandboxes.Items)}, nil
		}
		if grpcIsDown(connection) {
			return nil, err
		}
		time.Sleep(lookAgain)
	}
}

func grpcIsDown(connection *grpc.ClientConn) bool {
	return connection.GetState().String() != "READY"
}
