package plugin

import (
	"crypto/rand"
	"fmt"
	"math/big"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// class is a class of characters.
type class struct {
	use, min resource.PropertyKey // the inputs that enable the class and give its minimum count
	alphabet string
}

var classes = []class{
	{use: "lower", min: "minLower", alphabet: "abcdefghijklmnopqrstuvwxyz"},
	{use: "upper", min: "minUpper", alphabet: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
	{use: "numeric", min: "minNumeric", alphabet: "0123456789"},
	{use: "special", min: "minSpecial", alphabet: "!@#$%&*()-_=+[]{}<>:?"},
}

// alphabetOf returns the characters of a class. The input overrideSpecial replaces those of the class special.
func alphabetOf(c class, inputs resource.PropertyMap) string {
	if v := inputs["overrideSpecial"]; c.use == "special" && v.IsString() && v.StringValue() != "" {
		return v.StringValue()
	}
	return c.alphabet
}

func validateCharacters(inputs resource.PropertyMap) []string {
	var wrong []string
	length, least, inUse := inputs["length"].NumberValue(), 0.0, false
	for _, c := range classes {
		least += inputs[c.min].NumberValue()
		inUse = inUse || inputs[c.use].BoolValue()
	}
	if length < 1 || length < least {
		const sum = "the sum of minLower, minUpper, minNumeric and minSpecial"
		wrong = append(wrong, fmt.Sprintf("length: want at least 1 and at least %s (%v), got %v", sum, least, length))
	}
	if !inUse {
		wrong = append(wrong, "lower, upper, numeric, special: at least one must be true")
	}
	return wrong
}

// characters generates a string of the requested length. It picks the minimum of each class and the rest from all
// enabled classes, then shuffles the result. Every choice is uniform.
func characters(inputs resource.PropertyMap) (string, error) {
	all := ""
	var chosen []byte
	for _, c := range classes {
		alphabet := alphabetOf(c, inputs)
		if inputs[c.use].BoolValue() {
			all += alphabet
		}
		more, err := pick(alphabet, int(inputs[c.min].NumberValue()))
		if err != nil {
			return "", err
		}
		chosen = append(chosen, more...)
	}
	rest, err := pick(all, int(inputs["length"].NumberValue())-len(chosen))
	if err != nil {
		return "", err
	}
	chosen = append(chosen, rest...)
	for i := len(chosen) - 1; i > 0; i-- {
		j, err := below(i + 1)
		if err != nil {
			return "", err
		}
		chosen[i], chosen[j] = chosen[j], chosen[i]
	}
	return string(chosen), nil
}

func pick(alphabet string, n int) ([]byte, error) {
	chosen := make([]byte, 0, max(n, 0))
	for range n {
		i, err := below(len(alphabet))
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, alphabet[i])
	}
	return chosen, nil
}

// below returns a uniform random number from 0 to n-1.
func below(n int) (int, error) {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0, fmt.Errorf("reading a random number: %w", err)
	}
	return int(i.Int64()), nil
}
