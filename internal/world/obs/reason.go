package obs

import "strings"

// Reason is all that an error knows, for the log and for who runs a command: its
// text, with the causes that it does not say itself. An Error of package mail says what
// may be told to anybody; of a database that failed that is not enough here.
func Reason(err error) string {
	text := err.Error()
	for _, cause := range causes(err) {
		said, whole := cause.Error(), Reason(cause)
		switch {
		case said == "" || strings.Contains(text, whole):
		case strings.Contains(text, said):
			text = strings.Replace(text, said, whole, 1)
		default:
			text += ": " + whole
		}
	}
	return text
}

func causes(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return []error{cause}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}
