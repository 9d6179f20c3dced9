// What the library of CRI-O, Podman and Skopeo does with signatures, for comparison:
//
//	generate <passphrase>                             a key pair as JSON: private, public
//	sign <registries.d> <key file> <passphrase> <image>   signs an image of a registry and attaches the signature
//	judge <registries.d> <policy.json> <image>        "accepted", or "refused: " and the reason
//
// Registries are asked by plain http.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/signature/sigstore"
	"github.com/containers/image/v5/types"
)

func main() {
	ctx := context.Background()
	args := os.Args[2:]
	var err error
	switch os.Args[1] {
	case "generate":
		err = generate(args[0])
	case "sign":
		err = sign(ctx, args[0], args[1], args[2], args[3])
	case "judge":
		err = judge(ctx, args[0], args[1], args[2])
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func system(registriesD string) *types.SystemContext {
	return &types.SystemContext{DockerInsecureSkipTLSVerify: types.OptionalBoolTrue, RegistriesDirPath: registriesD}
}

func generate(passphrase string) error {
	pair, err := sigstore.GenerateKeyPair([]byte(passphrase))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"private": string(pair.PrivateKey), "public": string(pair.PublicKey)})
}

func sign(ctx context.Context, registriesD, key, passphrase, name string) error {
	ref, err := docker.ParseReference("//" + name)
	if err != nil {
		return err
	}
	anything := &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	policy, err := signature.NewPolicyContext(anything)
	if err != nil {
		return err
	}
	defer policy.Destroy()
	_, err = copy.Image(ctx, policy, ref, ref, &copy.Options{
		SourceCtx:                        system(registriesD),
		DestinationCtx:                   system(registriesD),
		ReportWriter:                     io.Discard,
		SignBySigstorePrivateKeyFile:     key,
		SignSigstorePrivateKeyPassphrase: []byte(passphrase),
	})
	return err
}

func judge(ctx context.Context, registriesD, policyFile, name string) error {
	parsed, err := signature.NewPolicyFromFile(policyFile)
	if err != nil {
		fmt.Printf("refused: %v\n", err)
		return nil
	}
	policy, err := signature.NewPolicyContext(parsed)
	if err != nil {
		return err
	}
	defer policy.Destroy()
	ref, err := docker.ParseReference("//" + name)
	if err != nil {
		return err
	}
	source, err := ref.NewImageSource(ctx, system(registriesD))
	if err != nil {
		return err
	}
	defer source.Close()
	if isAllowed, err := policy.IsRunningImageAllowed(ctx, image.UnparsedInstance(source, nil)); !isAllowed {
		fmt.Printf("refused: %v\n", err)
		return nil
	}
	fmt.Println("accepted")
	return nil
}
