package metrics

// reason is class and subject of an enhanced status code (RFC 3463 §2), as a
// number below reasons. The detail is left out: a remote may invent any.
type reason uint8

const (
	subjects = 9 // 0 to 7 (RFC 3463 §4) and the rest
	classes  = 3 // 2, 4 and 5
	reasons  = reason(classes * subjects)
)

// reasonOf reads an enhanced status code, or makes one of a reply code without.
func reasonOf(enhanced string, code int) reason {
	if len(enhanced) < 4 || enhanced[1] != '.' {
		return reason(classOf(byte('0'+code/100%10))) * subjects
	}
	class := classOf(enhanced[0])
	if subject := enhanced[2] - '0'; enhanced[3] == '.' && subject < subjects-1 {
		return reason(class)*subjects + reason(subject)
	}
	return reason(class)*subjects + subjects - 1
}

// classOf takes what has no class for a permanent failure.
func classOf(digit byte) int {
	switch digit {
	case '2':
		return 0
	case '4':
		return 1
	}
	return 2
}

func (r reason) String() string {
	class := "245"[r/subjects : r/subjects+1]
	if r%subjects == subjects-1 {
		return class + "." + other
	}
	return class + "." + string('0'+rune(r%subjects))
}
