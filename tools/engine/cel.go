package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
)

// CEL: what a Kustomization's own expressions say of an object. Flux evaluates with the same library, the same
// options and the same extensions, so an expression means here what it means there. A tenant chooses the
// expression, hence the limits: on its length, on what one evaluation may cost and how long it may take. What
// they do not catch (one call that never returns, or that grows beyond all bounds) ends with the process,
// which the controller kills; so expressions have a process of their own.

// expressionsOnly is the argument with which a process for expressions is started.
const expressionsOnly = "expressions"

const (
	maxExpression = 16 << 10  // characters
	maxCost       = 1_000_000 // of one evaluation, in CEL's units; a comparison costs one
	maxEvaluation = 100 * time.Millisecond
	checkEvery    = 1   // step of a comprehension: inner ones are counted anew each time
	maxPrograms   = 256 // kept; then all are dropped, for none is dear
	reasonCEL     = "EvaluationFailed"
)

// CheckArgs asks whether expressions can be read.
type CheckArgs struct {
	Expressions []string `json:"expressions"`
	// Variables makes types count: they are maps, anything else is undeclared, and the result is a bool.
	// Without them each name is looked up when the expression is evaluated.
	Variables []string `json:"variables"`
}

// CheckAnswer has a message for each expression, in their order; "" is a good one.
type CheckAnswer struct {
	Messages []string `json:"messages"`
}

// EvaluateArgs asks which of some expressions is the first that is true.
type EvaluateArgs struct {
	Expressions []string       `json:"expressions"`
	Variables   []string       `json:"variables"` // as in CheckArgs
	Data        map[string]any `json:"-"`
}

// EvaluateAnswer has the index of that expression, or -1.
type EvaluateAnswer struct {
	First int `json:"first"`
}

// UnmarshalJSON keeps whole numbers whole, as Kubernetes does.
func (args *EvaluateArgs) UnmarshalJSON(raw []byte) error {
	type plain EvaluateArgs
	wire := struct {
		*plain
		Data map[string]any `json:"data"`
	}{plain: (*plain)(args)}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&wire); err != nil {
		return err
	}
	args.Data, _ = wholeNumbers(wire.Data).(map[string]any)
	return nil
}

func wholeNumbers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = wholeNumbers(item)
		}
	case []any:
		for index, item := range value {
			value[index] = wholeNumbers(item)
		}
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return whole
		}
		number, _ := value.Float64()
		return number
	}
	return value
}

func checkExpressions(args CheckArgs) (any, *Failure) {
	messages := make([]string, len(args.Expressions))
	for index, expression := range args.Expressions {
		if _, err := program(expression, args.Variables); err != nil {
			messages[index] = err.Error()
		}
	}
	return CheckAnswer{Messages: messages}, nil
}

func evaluateExpressions(args EvaluateArgs) (any, *Failure) {
	for index, expression := range args.Expressions {
		isTrue, err := evaluate(expression, args.Variables, args.Data)
		if err != nil {
			return nil, &Failure{Reason: reasonCEL, Message: err.Error()}
		}
		if isTrue {
			return EvaluateAnswer{First: index}, nil
		}
	}
	return EvaluateAnswer{First: -1}, nil
}

func evaluate(expression string, variables []string, data map[string]any) (bool, error) {
	ready, err := program(expression, variables)
	if err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(context.Background(), maxEvaluation)
	defer cancel()
	value, _, err := ready.ContextEval(limited, data)
	if limited.Err() != nil {
		return false, fmt.Errorf("failed to evaluate the CEL expression '%s': not done within %s",
			expression, maxEvaluation)
	}
	if err != nil {
		return false, fmt.Errorf("failed to evaluate the CEL expression '%s': %w", expression, err)
	}
	isTrue, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("failed to evaluate CEL expression as boolean: '%s'", expression)
	}
	return bool(isTrue), nil
}

type programKey struct{ expression, variables string }

var programs = map[programKey]cel.Program{}

func program(expression string, variables []string) (cel.Program, error) {
	key := programKey{expression, fmt.Sprint(variables)}
	if known, ok := programs[key]; ok {
		return known, nil
	}
	made, err := compile(expression, variables)
	if err != nil {
		return nil, err
	}
	if len(programs) >= maxPrograms {
		clear(programs)
	}
	programs[key] = made
	return made, nil
}

func compile(expression string, variables []string) (cel.Program, error) {
	if len(expression) > maxExpression {
		return nil, fmt.Errorf("failed to parse the CEL expression: it has %d characters, limit %d",
			len(expression), maxExpression)
	}
	env, err := environment(variables)
	if err != nil {
		return nil, fmt.Errorf("failed to create CEL environment: %w", err)
	}
	parse := env.Parse
	if len(variables) > 0 {
		parse = env.Compile
	}
	ast, issues := parse(expression)
	if issues != nil && issues.Err() != nil {
		return nil, fmt.Errorf("failed to parse the CEL expression '%s': %s", expression, issues.String())
	}
	if got := ast.OutputType(); len(variables) > 0 && got != cel.BoolType {
		return nil, fmt.Errorf("CEL expression output type mismatch: expected %s, got %s", cel.BoolType, got)
	}
	made, err := env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.InterruptCheckFrequency(checkEvery),
		cel.CostTracking(bySize{}),
		cel.CostLimit(maxCost),
	)
	if err != nil {
		return nil, fmt.Errorf("failed to create CEL program: %w", err)
	}
	return made, nil
}

func environment(variables []string) (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Sets(),
		ext.Encoders(),
	}
	for _, name := range variables {
		options = append(options, cel.Variable(name, cel.ObjectType("google.protobuf.Struct")))
	}
	return cel.NewEnv(options...)
}

// bySize makes the functions of the extensions cost what they read and write; CEL itself counts them as one
// step each, however long a string they make.
type bySize struct{}

const sizePerStep = 10 // characters or entries

func (bySize) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	if !extended[function] {
		return nil // CEL's own reckoning
	}
	cost := 1 + size(result)/sizePerStep
	for _, arg := range args {
		cost += size(arg) / sizePerStep
	}
	return &cost
}

func size(value ref.Val) uint64 {
	sized, ok := value.(traits.Sizer)
	if !ok {
		return 0
	}
	count, _ := sized.Size().(types.Int)
	return uint64(max(count, 0))
}

var extended = map[string]bool{
	"charAt": true, "format": true, "indexOf": true, "join": true, "lastIndexOf": true, "lowerAscii": true,
	"quote": true, "replace": true, "reverse": true, "split": true, "substring": true, "trim": true,
	"upperAscii": true, "sets.contains": true, "sets.equivalent": true, "sets.intersects": true,
	"base64.decode": true, "base64.encode": true,
}
