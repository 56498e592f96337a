package segment

// list is a doubly linked list whose links lie in the elements, so that moving one costs no allocation.
type list[T comparable] struct {
	head, tail *link[T]
	n          int
}

type link[T comparable] struct {
	prev, next *link[T]
	value      T // its zero value where the link is in no list
}

func (at *link[T]) in() bool {
	var none T
	return at.value != none
}

func (l *list[T]) push(v T, at *link[T]) {
	*at = link[T]{next: l.head, value: v}
	if l.head != nil {
		l.head.prev = at
	} else {
		l.tail = at
	}
	l.head = at
	l.n++
}

func (l *list[T]) remove(_ T, at *link[T]) {
	if at.prev != nil {
		at.prev.next = at.next
	} else {
		l.head = at.next
	}
	if at.next != nil {
		at.next.prev = at.prev
	} else {
		l.tail = at.prev
	}
	*at = link[T]{}
	l.n--
}

func (l *list[T]) first() T { return l.head.value }
func (l *list[T]) last() T  { return l.tail.value }
