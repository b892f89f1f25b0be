package auth0sim

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
)

// The two primes of the key that every simulated tenant signs with. It is made
// known here, so it signs nothing that anybody could trust; tenants differ by
// their issuer. To generate a key takes longer than most tests.
const (
	signingPrimeP = "e14c6021d0a1fc2e83d517fc0249056b67272b67a01671d253be998427b2569f5c7d181046bf3c4b4d935816433794ca" +
		"214beb245930425aa1e40310952de8769a3df5bb9de0bc12d0da98f6f9f4c88a2b45fc1a01dfeb0128bbf6587f7101b8" +
		"d9f74f1b10ab950f46f563c4405521d23c2f73ed7a0d89fc7350c0d2c2a3dad7"
	signingPrimeQ = "c9af169e42a98b6ac6120b062b3d3c4dee47592701bb1691582a1f214fa5868c131208a04e7e8313a1da0906f334f73b" +
		"2fa9c08f3168daeeb39f91fa322022e823716d7825b8c5591a64e2d6bcd293f85abfd452a0507de539a34dd4b4367797" +
		"4a381bb38baa7cade718f3bac7f03ca2a9c0d9e24bc2a6f87c735f7798196dcd"
)

// newSigningKey puts the key together.
func newSigningKey() (*rsa.PrivateKey, error) {
	p, okP := new(big.Int).SetString(signingPrimeP, 16)
	q, okQ := new(big.Int).SetString(signingPrimeQ, 16)
	if !okP || !okQ {
		return nil, fmt.Errorf("make signing key: the primes are no numbers")
	}
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(big.NewInt(65537), phi),
		Primes:    []*big.Int{p, q},
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	return key, nil
}

// keyID names a public key.
func keyID(key *rsa.PublicKey) string {
	sum := sha256.Sum256(key.N.Bytes())
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
