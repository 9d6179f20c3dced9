// An NRI plugin over NRI's own stub, for tests: it writes one line of JSON for each thing that it hears, and does what a
// script says. The script is read anew for each call, so that a test can change it while the plugin runs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"google.golang.org/protobuf/encoding/protojson"
)

// Action is what the script says of one event.
type Action struct {
	Error  string            `json:"error"`
	Hang   bool              `json:"hang"`
	Die    bool              `json:"die"`
	Adjust json.RawMessage   `json:"adjust"`
	Update []json.RawMessage `json:"update"`
}

// Line is what is written of one event.
type Line struct {
	Event     string          `json:"event"`
	Pod       string          `json:"pod,omitempty"`
	Container string          `json:"container,omitempty"`
	Detail    json.RawMessage `json:"detail,omitempty"`
	Text      string          `json:"text,omitempty"`
}

type plugin struct {
	stub   stub.Stub
	log    string
	script string
	lock   sync.Mutex
}

func (p *plugin) write(line Line) {
	p.lock.Lock()
	defer p.lock.Unlock()
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	file, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	fmt.Fprintf(file, "%s\n", text)
}

func (p *plugin) action(event string) Action {
	actions := map[string]Action{}
	if text, err := os.ReadFile(p.script); err == nil {
		if err := json.Unmarshal(text, &actions); err != nil {
			panic(err)
		}
	}
	return actions[event]
}

// heard writes the line, then does what is to be done before the answer.
func (p *plugin) heard(line Line) (Action, error) {
	p.write(line)
	action := p.action(line.Event)
	if action.Die {
		os.Exit(3)
	}
	if action.Hang {
		select {}
	}
	if action.Error != "" {
		return action, errors.New(action.Error)
	}
	return action, nil
}

func (p *plugin) pod(event string, pod *api.PodSandbox) error {
	detail, _ := protojson.Marshal(pod)
	_, err := p.heard(Line{Event: event, Pod: pod.GetId(), Detail: detail})
	return err
}

func (p *plugin) container(event string, pod *api.PodSandbox, ctr *api.Container) (Action, error) {
	detail, _ := protojson.Marshal(ctr)
	return p.heard(Line{Event: event, Pod: pod.GetId(), Container: ctr.GetId(), Detail: detail})
}

func updates(action Action) []*api.ContainerUpdate {
	var all []*api.ContainerUpdate
	for _, text := range action.Update {
		update := &api.ContainerUpdate{}
		if err := protojson.Unmarshal(text, update); err != nil {
			panic(err)
		}
		all = append(all, update)
	}
	return all
}

func (p *plugin) Configure(_ context.Context, config, runtime, version string) (api.EventMask, error) {
	if config != "" {
		settings := struct{ Log, Script string }{}
		if err := json.Unmarshal([]byte(config), &settings); err != nil {
			return 0, err
		}
		p.log, p.script = settings.Log, settings.Script
	}
	_, err := p.heard(Line{Event: "Configure", Text: runtime + " " + version})
	return 0, err
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, ctrs []*api.Container) ([]*api.ContainerUpdate, error) {
	ids := []string{}
	for _, pod := range pods {
		ids = append(ids, "pod "+pod.GetId())
	}
	for _, ctr := range ctrs {
		ids = append(ids, "container "+ctr.GetId())
	}
	detail, _ := json.Marshal(ids)
	action, err := p.heard(Line{Event: "Synchronize", Detail: detail})
	return updates(action), err
}

func (p *plugin) Shutdown(context.Context) { p.write(Line{Event: "Shutdown"}) }

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("RunPodSandbox", pod)
}

func (p *plugin) UpdatePodSandbox(_ context.Context, pod *api.PodSandbox, _, _ *api.LinuxResources) error {
	return p.pod("UpdatePodSandbox", pod)
}

func (p *plugin) PostUpdatePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("PostUpdatePodSandbox", pod)
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("StopPodSandbox", pod)
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("RemovePodSandbox", pod)
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	action, err := p.container("CreateContainer", pod, ctr)
	if err != nil || action.Adjust == nil {
		return nil, updates(action), err
	}
	adjust := &api.ContainerAdjustment{}
	if err := protojson.Unmarshal(action.Adjust, adjust); err != nil {
		return nil, nil, err
	}
	return adjust, updates(action), nil
}

func (p *plugin) PostCreateContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	_, err := p.container("PostCreateContainer", pod, ctr)
	return err
}

func (p *plugin) StartContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	_, err := p.container("StartContainer", pod, ctr)
	return err
}

func (p *plugin) PostStartContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	_, err := p.container("PostStartContainer", pod, ctr)
	return err
}

func (p *plugin) UpdateContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container, _ *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	action, err := p.container("UpdateContainer", pod, ctr)
	return updates(action), err
}

func (p *plugin) PostUpdateContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	_, err := p.container("PostUpdateContainer", pod, ctr)
	return err
}

func (p *plugin) StopContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) ([]*api.ContainerUpdate, error) {
	action, err := p.container("StopContainer", pod, ctr)
	return updates(action), err
}

func (p *plugin) RemoveContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	_, err := p.container("RemoveContainer", pod, ctr)
	return err
}

func (p *plugin) ValidateContainerAdjustment(_ context.Context, req *api.ValidateContainerAdjustmentRequest) error {
	detail, _ := protojson.Marshal(req)
	_, err := p.heard(Line{Event: "ValidateContainerAdjustment", Container: req.GetContainer().GetId(), Detail: detail})
	return err
}

// unsolicited asks for what the script says under this name, at each SIGUSR1.
func (p *plugin) unsolicited() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	for range asked {
		failed, err := p.stub.UpdateContainers(updates(p.action("UpdateContainers")))
		detail, _ := json.Marshal(failed)
		p.write(Line{Event: "UpdateContainers", Detail: detail, Text: fmt.Sprint(err)})
	}
}

func main() {
	p := &plugin{}
	name := flag.String("name", "", "name to register with")
	index := flag.String("index", "", "index to register with")
	socket := flag.String("socket", "", "where the runtime listens")
	flag.StringVar(&p.log, "log", "", "file to write to")
	flag.StringVar(&p.script, "script", "", "file that says what to do")
	flag.Parse()
	options := []stub.Option{}
	if *name != "" {
		options = append(options, stub.WithPluginName(*name), stub.WithPluginIdx(*index), stub.WithSocketPath(*socket))
	}
	var err error
	if p.stub, err = stub.New(p, options...); err == nil {
		go p.unsolicited()
		err = p.stub.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if p.log != "" {
			p.write(Line{Event: "End", Text: err.Error()})
		}
		os.Exit(1)
	}
}
