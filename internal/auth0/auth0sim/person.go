package auth0sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// person is a user of the tenant.
type person struct {
	id    string // auth0|<24 hex>
	name  string
	email string
	ip    string
	agent string
}

// website is an application that people sign in to.
type website struct{ id, name string }

// newPeople makes n people. The first few are the tenant's administrators.
func newPeople(r *rand.Rand, n int) []person {
	given := strings.Fields("Ada Amir Anna Bela Bo Carla Chidi Dana Devi Edda Emil Fanny Femi Gita Goran Hana Hugo Ida Imre Jana Jonas Kaja Kofi Lena Levi Mara Milo Nadia Nils Odile Omar Petra Quinn Rosa Ruben Sana Theo Uma Vera Yusuf Zoe")
	family := strings.Fields("Abelsen Bramante Corvath Dellwood Ebersoll Fanshire Grünwick Halloran Ingleby Jaskolt Kesterman Lindqvale Marchetz Nordhavn Okonwa Petrossi Quillfeather Rådström Silverbeck Tamarisk Underhay Vantorre Westerlund Xanthopol Yarrowby Zieglerov Ashgrove Birkdale Cranwich Dunmore Elmstad Foxhollow Garrowby Hazelmoor")
	order := r.Perm(len(given) * len(family))
	agents := browsers()
	people := make([]person, n)
	for i := range people {
		k := order[i%len(order)]
		first, last := given[k%len(given)], family[k/len(given)]
		mailbox := slug(first) + "." + slug(last)
		if i >= len(order) {
			mailbox = fmt.Sprintf("%s%d", mailbox, i/len(order)+1)
		}
		people[i] = person{"auth0|" + hexString(r, 24), first + " " + last, mailbox + "@example.com", personAddress(r), pick(r, agents)}
	}
	return people
}

func slug(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c >= 'a' && c <= 'z':
			return c
		default:
			return -1
		}
	}, name)
}

func newWebsites(r *rand.Rand) []website {
	var sites []website
	for _, name := range []string{"Customer Portal", "Partner Portal", "Back Office", "Mobile App (iOS)", "Mobile App (Android)", "Help Center"} {
		sites = append(sites, website{base62(r, 32), name})
	}
	return sites
}

func browsers() []string {
	return []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
		"Mozilla/5.0 (X11; Linux x86_64; rv:129.0) Gecko/20100101 Firefox/129.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Mobile Safari/537.36",
	}
}
