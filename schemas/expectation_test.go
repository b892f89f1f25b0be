package schemas_test

import (
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestExpectSaysWhatIsWrongWithIt(t *testing.T) {
	good := schemas.Expect{
		Networks: []string{"198.51.100.0/24", "203.0.0.0/16", "2001:db8:1::/48"},
		Clouds:   []string{"AS16509", "16509", "*amazon*"}, Runtimes: []string{"python-*"}, Cadence: "26h", Expires: "2027-06-30",
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if every, ok := good.Every(); !ok || every != 26*time.Hour {
		t.Errorf("every %s, %t", every, ok)
	}
	if until, ok := good.Until(); !ok || !until.Equal(time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("until %s, %t", until, ok)
	}
	if none := (schemas.Expect{}); !none.Empty() || good.Empty() || none.Validate() != nil {
		t.Error("what is empty is not, or what is not is")
	}
	for _, c := range []struct {
		bad  schemas.Expect
		want string
	}{
		{schemas.Expect{Networks: []string{"198.51.100.7"}}, "write 198.51.100.0/24"},
		{schemas.Expect{Networks: []string{"198.51.100.128/25"}}, "write 198.51.100.0/24"},
		{schemas.Expect{Networks: []string{"2001:db8:1:2::/64"}}, "write 2001:db8:1::/48"},
		{schemas.Expect{Networks: []string{"198.51.100.7/20"}}, "198.51.96.0/20"},
		{schemas.Expect{Networks: []string{"office"}}, "want a network"},
		{schemas.Expect{Clouds: []string{"*"}}, "want the AS number"},
		{schemas.Expect{Runtimes: []string{"curl/8.5.0"}}, "without its version"},
		{schemas.Expect{Runtimes: []string{"**"}}, "runtimes"},
		{schemas.Expect{Cadence: "1m"}, "want 10m to 100d"},
		{schemas.Expect{Cadence: "101d"}, "want 10m to 100d"},
		{schemas.Expect{Cadence: "often"}, "want 10m to 100d"},
		{schemas.Expect{Expires: "soon"}, "want a date"},
	} {
		if err := c.bad.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.bad, err, c.want)
		}
	}
	if _, ok := schemas.ASNumber("AS99999999999"); ok {
		t.Error("a number that no AS has")
	}
}
