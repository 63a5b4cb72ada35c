package mail

// MarshalText is String, for JSON and logs.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseAddress; no text is the zero Address.
func (a *Address) UnmarshalText(text []byte) (err error) {
	*a = Address{}
	if len(text) > 0 {
		*a, err = ParseAddress(string(text))
	}
	return err
}

// UnmarshalText is ParseDomain; no text is the zero Domain.
func (d *Domain) UnmarshalText(text []byte) (err error) {
	*d = ""
	if len(text) > 0 {
		*d, err = ParseDomain(string(text))
	}
	return err
}
