package auth0sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// place is where a network is; its JSON is what location_info holds.
type place struct{ json string }

func newPlace(code, country, city, latitude, longitude, zone, continent, subdivision, region string) place {
	return place{fmt.Sprintf(`{"country_code":"%s","country_name":"%s","city_name":"%s","latitude":%s,"longitude":%s,"time_zone":"%s","continent_code":"%s","subdivision_code":"%s","subdivision_name":"%s"}`,
		code, country, city, latitude, longitude, zone, continent, subdivision, region)}
}

func places() []place {
	return []place{
		newPlace("IE", "Ireland", "Dublin", "53.3379", "-6.2591", "Europe/Dublin", "EU", "L", "Leinster"),
		newPlace("DE", "Germany", "Frankfurt am Main", "50.1188", "8.6843", "Europe/Berlin", "EU", "HE", "Hesse"),
		newPlace("US", "United States", "Ashburn", "39.0469", "-77.4903", "America/New_York", "NA", "VA", "Virginia"),
		newPlace("US", "United States", "Boardman", "45.8234", "-119.7257", "America/Los_Angeles", "NA", "OR", "Oregon"),
		newPlace("NL", "Netherlands", "Amsterdam", "52.3759", "4.8975", "Europe/Amsterdam", "EU", "NH", "North Holland"),
		newPlace("FR", "France", "Paris", "48.8323", "2.4075", "Europe/Paris", "EU", "IDF", "Ile-de-France"),
		newPlace("SG", "Singapore", "Singapore", "1.2868", "103.8503", "Asia/Singapore", "AS", "01", "Central Singapore"),
		newPlace("GB", "United Kingdom", "London", "51.5088", "-0.0930", "Europe/London", "EU", "ENG", "England"),
	}
}

// network is a /24 or a /48: prefix and a host number make an address in it.
type network struct {
	prefix string
	v6     bool
	place  place
}

func (n network) host(i int) string {
	if n.v6 {
		return n.prefix + strconv.FormatInt(int64(i), 16)
	}
	return n.prefix + strconv.Itoa(i)
}

// homeNetworks are those of the machines: 198.18.0.0/15, reserved for
// benchmarks, and 2001:db8:1000::/36, for documentation.
func homeNetworks(r *rand.Rand) []network {
	all := places()
	var nets []network
	for i := range 48 {
		nets = append(nets, network{prefix: fmt.Sprintf("198.18.%d.", i+10), place: pick(r, all)})
	}
	for i := range 6 {
		nets = append(nets, network{prefix: fmt.Sprintf("2001:db8:%x:1::", 0x1000+i), v6: true, place: pick(r, all)})
	}
	return nets
}

// storyNetwork is the network of the story's client and of no other.
func storyNetwork() network { return network{prefix: "198.18.4.", place: places()[0]} }

// strangeNetworks are those that no machine has ever succeeded from: the three
// documentation /24 and a part of the documentation /32.
func strangeNetworks() []network {
	nets := []network{{prefix: "192.0.2."}, {prefix: "198.51.100."}, {prefix: "203.0.113."}}
	for i := range 5 {
		nets = append(nets, network{prefix: fmt.Sprintf("2001:db8:bad%x::", i), v6: true})
	}
	for i := range nets {
		nets[i].place = place{`{}`}
	}
	return nets
}

// personAddress lies in 100.64.0.0/10 or 2001:db8:8000::/34, which no machine uses.
func personAddress(r *rand.Rand) string {
	if chance(r, 0.15) {
		return fmt.Sprintf("2001:db8:%x:%x::%x", 0x8000+r.IntN(0x3000), r.IntN(0xffff), 1+r.IntN(0xfffe))
	}
	return fmt.Sprintf("100.%d.%d.%d", 64+r.IntN(64), r.IntN(256), 1+r.IntN(254))
}
