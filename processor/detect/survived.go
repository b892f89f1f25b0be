package detect

import "time"

// survived is SQL of a condition on matches: that the surviving copy of their
// event is the one that they are of. A match leads to its event by the event's
// key, which begins with the client. which is a condition that holds for them, and
// lo the name of the parameter that none of them is before; to bounds them, too.
//
// A set of numbers is built and looked into in a third of the time that one of
// these texts takes, and in a fifth of the memory. A match that lost is taken for
// one of n that survived once in 2^64 / n times.
func survived(which, lo string) string { return survivedIn("versions", which, lo) }

// survivedLately is survived for matches of many clients and of fewDays: in events a
// day is a partition, while in versions they lie in every granule of the month.
func survivedLately(which, lo string) string { return survivedIn("events", which, lo) }

const fewDays = 2 * 24 * time.Hour

func survivedIn(table, which, lo string) string {
	return `cityHash64(client_id, t, log_id, ver) IN (
          SELECT cityHash64(client_id, toUInt64(toUnixTimestamp64Milli(time)), log_id, ver) FROM ` + table + ` FINAL
          WHERE tenant = {tenant:String} AND ` + which + `
            AND time >= fromUnixTimestamp64Milli(toInt64({` + lo + `:UInt64}), 'UTC')
            AND time < fromUnixTimestamp64Milli(toInt64({to:UInt64}), 'UTC')
      )`
}

// clientsAreKeys holds for matches that are keyed by their client.
const clientsAreKeys = `client_id IN {keys:Array(String)}`
