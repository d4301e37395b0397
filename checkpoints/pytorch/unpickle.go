package pytorch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
)

// The machine's values are nil, bool, int64, float64, string, tuple, *list, *dict, global, storage and *tensor.
type (
	tuple []any
	list  struct{ items []any }
	// dict keeps the entries whose keys are texts; others are passed over.
	dict struct {
		keys   []string
		values map[string]any
	}
	global  string // "module name", one of the list of known ones
	storage struct {
		dtype dtype.Type
		key   string // of the entry with its bytes
	}
	tensor struct {
		storage       storage
		dtype         dtype.Type
		offset        int64 // in values
		shape, stride []int64
	}
	mark struct{}
)

func (d *dict) get(key string) any { return d.values[key] }

func (d *dict) set(key, value any) {
	name, ok := key.(string)
	if !ok {
		return
	}
	if _, there := d.values[name]; !there {
		d.keys = append(d.keys, name)
	}
	d.values[name] = value
}

// Globals that mean something. Everything else that a pickle asks for is refused by name.
const (
	rebuildTensor    global = "torch._utils _rebuild_tensor_v2"
	rebuildTyped     global = "torch._utils _rebuild_tensor_v3"
	rebuildParameter global = "torch._utils _rebuild_parameter"
	orderedDict      global = "collections OrderedDict"
)

func known(g global) bool {
	switch g {
	case rebuildTensor, rebuildTyped, rebuildParameter, orderedDict:
		return true
	}
	_, isStorage := storages[string(g)]
	_, isType := dtypes[string(g)]
	return isStorage || isType
}

const maxRank = 16

// machine runs a pickle. Each instruction pushes no more than its own bytes describe, so that memory stays in proportion.
type machine struct {
	pickle []byte
	pos    int
	stack  []any
	memo   map[uint32]any
}

var errShort = errors.New("the pickle ends too early")

// run executes the pickle and returns what it leaves.
func (m *machine) run() (any, error) {
	for {
		op, err := m.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			v, err := m.pop()
			if err == nil && len(m.stack) > 0 {
				err = errors.New("the pickle leaves more than one value")
			}
			return v, err
		}
		if err := m.step(op[0]); err != nil {
			return nil, err
		}
	}
}

func (m *machine) take(n int) ([]byte, error) {
	if n < 0 || n > len(m.pickle)-m.pos {
		return nil, errShort
	}
	b := m.pickle[m.pos : m.pos+n]
	m.pos += n
	return b, nil
}

// number takes a little-endian number without sign.
func (m *machine) number(bytes int) (uint64, error) {
	b, err := m.take(bytes)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

func (m *machine) text(lengthBytes int) (string, error) {
	n, err := m.number(lengthBytes)
	if err == nil && n > uint64(len(m.pickle)) {
		err = errShort
	}
	if err != nil {
		return "", err
	}
	b, err := m.take(int(n))
	return string(b), err
}

func (m *machine) line() (string, error) {
	for i := m.pos; i < len(m.pickle); i++ {
		if m.pickle[i] == '\n' {
			s := string(m.pickle[m.pos:i])
			m.pos = i + 1
			return s, nil
		}
	}
	return "", errShort
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, errors.New("the pickle takes a value where there is none")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	if _, isMark := v.(mark); isMark {
		return nil, errors.New("the pickle takes a mark for a value")
	}
	return v, nil
}

// popMark returns what lies above the last mark, in order.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errors.New("the pickle looks for a mark where there is none")
}

// step runs one instruction, named as Python's pickletools does.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		n, err := m.number(1)
		if err == nil && n > 5 {
			err = fmt.Errorf("it is of protocol %d; 5 is the highest", n)
		}
		return err
	case 0x95: // FRAME
		_, err := m.take(8)
		return err
	case '(':
		m.push(mark{})
	case 'N':
		m.push(nil)
	case 0x88, 0x89:
		m.push(op == 0x88)
	case ')':
		m.push(tuple(nil))
	case ']':
		m.push(&list{})
	case '}':
		m.push(&dict{values: map[string]any{}})
	case 'J', 'K', 'M', 0x8a, 'G', 'X', 0x8c, 0x8d, 'U', 'T', 'C', 'B':
		return m.literal(op)
	case 't', 0x85, 0x86, 0x87:
		return m.tuple(op)
	case 'q', 'r', 0x94, 'h', 'j':
		return m.remember(op)
	case 'a', 'e', 's', 'u':
		return m.fill(op)
	case 'c', 0x93:
		return m.name(op)
	case 'Q':
		return m.persistent()
	case 'R':
		return m.reduce()
	case 'b': // BUILD sets attributes: of a dictionary its bookkeeping, which says nothing about tensors
		if _, err := m.pop(); err != nil {
			return err
		}
		_, err := m.peek()
		return err
	case '0':
		_, err := m.pop()
		return err
	default:
		m.pos--
		return fmt.Errorf("instruction %#02x is none that a file of tensors needs; it is not run", op)
	}
	return nil
}

func (m *machine) peek() (any, error) {
	v, err := m.pop()
	if err == nil {
		m.push(v)
	}
	return v, err
}

func (m *machine) literal(op byte) error {
	var v any
	var n uint64
	var err error
	switch op {
	case 'J':
		n, err = m.number(4)
		v = int64(int32(n))
	case 'K':
		n, err = m.number(1)
		v = int64(n)
	case 'M':
		n, err = m.number(2)
		v = int64(n)
	case 0x8a: // LONG1
		var size uint64
		if size, err = m.number(1); err == nil && size > 8 {
			err = errors.New("a number has more than 64 bits")
		}
		if err == nil {
			n, err = m.number(int(size))
			shift := 64 - 8*size
			if size > 0 {
				n = uint64(int64(n<<shift) >> shift)
			}
		}
		v = int64(n)
	case 'G':
		var b []byte
		if b, err = m.take(8); err == nil {
			v = math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	case 'X', 'T', 'B':
		v, err = m.text(4)
	case 0x8c, 'U', 'C':
		v, err = m.text(1)
	case 0x8d:
		v, err = m.text(8)
	}
	if err == nil {
		m.push(v)
	}
	return err
}

func (m *machine) tuple(op byte) error {
	if op == 't' {
		items, err := m.popMark()
		m.push(tuple(items))
		return err
	}
	items := make(tuple, op-0x84)
	for i := len(items) - 1; i >= 0; i-- {
		v, err := m.pop()
		if err != nil {
			return err
		}
		items[i] = v
	}
	m.push(items)
	return nil
}

func (m *machine) remember(op byte) error {
	var at uint64
	var err error
	switch op {
	case 'q', 'h':
		at, err = m.number(1)
	case 'r', 'j':
		at, err = m.number(4)
	case 0x94:
		at = uint64(len(m.memo))
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := m.memo[uint32(at)]
		if !ok {
			return fmt.Errorf("value %d is recalled, and was never kept", at)
		}
		m.push(v)
		return nil
	}
	v, err := m.peek()
	m.memo[uint32(at)] = v
	return err
}

// fill puts values into the list or dictionary below them.
func (m *machine) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case 'e', 'u':
		items, err = m.popMark()
	case 'a':
		items = make([]any, 1)
		items[0], err = m.pop()
	case 's':
		items = make([]any, 2)
		if items[1], err = m.pop(); err == nil {
			items[0], err = m.pop()
		}
	}
	if err != nil {
		return err
	}
	into, err := m.peek()
	if err != nil {
		return err
	}
	switch into := into.(type) {
	case *list:
		if op == 'a' || op == 'e' {
			into.items = append(into.items, items...)
			return nil
		}
	case *dict:
		if (op == 's' || op == 'u') && len(items)%2 == 0 {
			for i := 0; i < len(items); i += 2 {
				into.set(items[i], items[i+1])
			}
			return nil
		}
	}
	return errors.New("the pickle fills what is neither a list nor a dictionary")
}

// name takes a global. Only those of the list exist.
func (m *machine) name(op byte) error {
	var module, name string
	var err error
	if op == 'c' {
		if module, err = m.line(); err == nil {
			name, err = m.line()
		}
	} else {
		var v, w any
		if w, err = m.pop(); err == nil {
			v, err = m.pop()
		}
		a, isText := v.(string)
		b, too := w.(string)
		if err == nil && (!isText || !too) {
			err = errors.New("a global's name is no text")
		}
		module, name = a, b
	}
	if err != nil {
		return err
	}
	g := global(module + " " + name)
	if !known(g) {
		return fmt.Errorf("it asks for %s, which no tensor needs and which is not run", format.Name(module+"."+name))
	}
	m.push(g)
	return nil
}

// persistent turns ("storage", class, key, device, number) into a storage.
func (m *machine) persistent() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	id, ok := v.(tuple)
	if ok && len(id) == 5 && id[0] == "storage" {
		class, isClass := id[1].(global)
		key, isText := id[2].(string)
		typ, isStorage := storages[string(class)]
		if isClass && isText && isStorage {
			m.push(storage{dtype: typ, key: key})
			return nil
		}
	}
	return errors.New("it names bytes in a way that no archive of tensors does")
}

// reduce calls a global: nothing but putting a tensor together, or an empty dictionary.
func (m *machine) reduce() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	f, err := m.pop()
	if err != nil {
		return err
	}
	args, ok := v.(tuple)
	name, called := f.(global)
	if !ok || !called {
		return errors.New("it calls what is no function")
	}
	switch {
	case name == orderedDict && len(args) == 0:
		m.push(&dict{values: map[string]any{}})
		return nil
	case (name == rebuildTensor || name == rebuildTyped) && len(args) >= 4:
		t, err := newTensor(name, args)
		m.push(t)
		return err
	case name == rebuildParameter && len(args) >= 1:
		if t, ok := args[0].(*tensor); ok {
			m.push(t)
			return nil
		}
	}
	return fmt.Errorf("it calls %s in a way that makes no tensor", format.Name(string(name)))
}

// newTensor makes (storage, offset, shape, strides, ...) a tensor; in the third version the type follows behind two more.
func newTensor(name global, args tuple) (*tensor, error) {
	s, isStorage := args[0].(storage)
	offset, isInt := args[1].(int64)
	shape, isShape := ints(args[2])
	stride, isStride := ints(args[3])
	if !isStorage || !isInt || !isShape || !isStride || len(shape) != len(stride) || len(shape) > maxRank {
		return nil, errors.New("a tensor is put together of the wrong parts")
	}
	t := &tensor{storage: s, dtype: s.dtype, offset: offset, shape: shape, stride: stride}
	if name == rebuildTyped {
		const typeAt = 6
		if len(args) <= typeAt {
			return nil, errors.New("a tensor is put together without its type")
		}
		g, _ := args[typeAt].(global)
		if t.dtype = dtypes[string(g)]; t.dtype == "" {
			return nil, errors.New("a tensor has a type that is not known")
		}
	}
	return t, nil
}

func ints(v any) ([]int64, bool) {
	items, ok := v.(tuple)
	out := make([]int64, len(items))
	for i := range items {
		n, isInt := items[i].(int64)
		out[i], ok = n, ok && isInt
	}
	return out, ok
}
