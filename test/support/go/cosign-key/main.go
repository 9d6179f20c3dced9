// Encrypts a private key (PKCS #8 in DER, in hexadecimal as the first argument) with the passphrase of the second one, in
// the form that cosign and skopeo read: scrypt and NaCl's secretbox, which Node has not.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"log"
	"os"

	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/scrypt"
)

// What such tools use for new keys; they refuse other numbers.
const (
	scryptN = 32768
	scryptR = 8
	scryptP = 1
)

func main() {
	plain, err := hex.DecodeString(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	salt := make([]byte, 32)
	var nonce [24]byte
	for _, random := range [][]byte{salt, nonce[:]} {
		if _, err := rand.Read(random); err != nil {
			log.Fatal(err)
		}
	}
	derived, err := scrypt.Key([]byte(os.Args[2]), salt, scryptN, scryptR, scryptP, 32)
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"kdf":        map[string]any{"name": "scrypt", "params": map[string]int{"N": scryptN, "r": scryptR, "p": scryptP}, "salt": salt},
		"cipher":     map[string]any{"name": "nacl/secretbox", "nonce": nonce[:]},
		"ciphertext": secretbox.Seal(nil, plain, &nonce, (*[32]byte)(derived)),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := pem.Encode(os.Stdout, &pem.Block{Type: "ENCRYPTED COSIGN PRIVATE KEY", Bytes: text}); err != nil {
		log.Fatal(err)
	}
}
