//go:build !unix

package netx

import "errors"

const canTry = false

func sysRead(uintptr, []byte) (int, error)  { return 0, errors.ErrUnsupported }
func sysWrite(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
func sysBuffers(uintptr, int) error         { return errors.ErrUnsupported }
