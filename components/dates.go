package components

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// now is replaced in tests.
var now = time.Now

// duration is an ISO 8601 duration. Years and months have no fixed length, so they are kept until they are added to a
// date.
type duration struct {
	years, months, days int
	clock               time.Duration
}

const durationYearsMax = 100

const durationRule = "an ISO 8601 duration such as P90D, P1Y6M or PT12H, with whole numbers up to 9999, longer than " +
	"zero and at most 100 years"

var durationPattern = regexp.MustCompile(`^P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,4})D)?` +
	`(?:T(?:(\d{1,4})H)?(?:(\d{1,4})M)?(?:(\d{1,4})S)?)?$`)

// parseDuration reads an ISO 8601 duration.
func parseDuration(text string) (duration, bool) {
	match := durationPattern.FindStringSubmatch(text)
	if match == nil || strings.HasSuffix(text, "P") || strings.HasSuffix(text, "T") {
		return duration{}, false
	}
	var numbers [7]int
	for i, digits := range match[1:] {
		numbers[i], _ = strconv.Atoi(digits) // the pattern allows digits only; what is left out is 0
	}
	d := duration{
		years:  numbers[0],
		months: numbers[1],
		days:   7*numbers[2] + numbers[3],
		clock: time.Duration(numbers[4])*time.Hour + time.Duration(numbers[5])*time.Minute +
			time.Duration(numbers[6])*time.Second,
	}
	year2000 := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	return d, d != (duration{}) && !d.from(year2000).After(year2000.AddDate(durationYearsMax, 0, 0))
}

// from returns the time at which the duration has passed. As in package time, a month after January 31st is in March.
func (d duration) from(t time.Time) time.Time {
	return t.AddDate(d.years, d.months, d.days).Add(d.clock)
}

// period returns the start of the current period and of the next one, for periods of this duration that follow each
// other from the first time on.
func (d duration) period(first time.Time) (begin, next time.Time) {
	begin, next = first, d.from(first)
	for !next.After(now()) {
		begin, next = next, d.from(next)
	}
	return begin, next
}

// shorterThan reports whether the duration ends before the other, no matter on which day both begin.
func (d duration) shorterThan(other duration) bool {
	day := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	for ; day.Year() < 2004; day = day.AddDate(0, 0, 1) { // four years hold every length that a month or year can have
		if !d.from(day).Before(other.from(day)) {
			return false
		}
	}
	return true
}

// fitsIn reports whether the duration is never longer than the other.
func (d duration) fitsIn(other duration) bool {
	other.clock++
	return d.shorterThan(other)
}

func (d duration) plusDays(n int) duration {
	d.days += n
	return d
}

// date is a point in time, or a duration after an object's creation.
type date struct {
	at       time.Time
	after    duration
	relative bool
}

const dateRule = "a date such as 2027-01-31, a time in RFC 3339 such as 2027-01-31T12:00:00Z, or " + durationRule

var (
	dateMin = time.Unix(1, 0) // Azure counts seconds from 1970
	dateMax = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)
)

// parseDate parses a date (its first second in UTC), a time in RFC 3339, or a duration.
func parseDate(text string) (date, bool) {
	if after, ok := parseDuration(text); ok {
		return date{after: after, relative: true}, true
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return date{at: at}, !at.Before(dateMin) && at.Before(dateMax)
		}
	}
	return date{}, false
}

// before reports whether a date precedes the other. Two that cannot be compared yet count as ordered.
func (d date) before(other date) bool {
	switch {
	case d.relative && other.relative:
		return d.after.shorterThan(other.after)
	case d.relative || other.relative:
		return true
	default:
		return d.at.Unix() < other.at.Unix()
	}
}

// validateDates checks when an object becomes valid and when it expires. Both are optional.
func (v *violations) validateDates(path, notBefore, expires string) {
	begin, beginOK := parseDate(notBefore)
	end, endOK := parseDate(expires)
	v.check(beginOK || notBefore == "", path+".notBefore", notBefore, dateRule)
	v.check(endOK || expires == "", path+".expires", expires, dateRule)
	if beginOK && endOK {
		v.check(begin.before(end), path+".expires", expires, "a date after notBefore, regardless of the day from which "+
			"they count")
	}
}

// relative reports whether a date counts from its object's creation.
func relative(text string) bool {
	d, ok := parseDate(text)
	return ok && d.relative
}

// dates are an object's dates as Azure expects them, in seconds since 1970, or nil if omitted.
type dates struct {
	notBefore, expires pulumi.IntPtrInput
}

// newDates returns an object's dates. Relative dates count from the creation of an object with these durations, which
// the state records so that updates keep them. A change of restart starts them again. If the object named by title has
// expired, newDates only warns: the date was valid once, and an existing stack must keep working.
func newDates(ctx *pulumi.Context, name, notBefore, expires string, restart []string, parent pulumi.Resource,
	title string,
) (dates, error) {
	var made pulumi.StringOutput
	if relative(notBefore) || relative(expires) {
		key := append([]string{notBefore, expires}, restart...)
		for i := range 2 {
			if !relative(key[i]) {
				key[i] = ""
			}
		}
		var err error
		if made, err = newMoment(ctx, name+"-"+shortHash(key), parent); err != nil {
			return dates{}, err
		}
	}
	return datesFrom(ctx, made, notBefore, expires, parent, title), nil
}

// datesFrom returns an object's dates. Relative dates count from when it was made.
func datesFrom(ctx *pulumi.Context, made pulumi.StringOutput, notBefore, expires string, parent pulumi.Resource,
	title string,
) dates {
	d := dates{notBefore: seconds(notBefore, made), expires: seconds(expires, made)}
	d.warnExpired(ctx, title, parent)
	return d
}

// warnExpired warns, once the date is known, that the object named by title has expired.
func (d dates) warnExpired(ctx *pulumi.Context, title string, parent pulumi.Resource) {
	if title == "" || d.expires == nil {
		return
	}
	d.expires.ToIntPtrOutput().ApplyT(func(expires *int) (bool, error) {
		if int64(*expires) > now().Unix() {
			return false, nil
		}
		return true, ctx.Log.Warn(fmt.Sprintf("%s expired on %s: set a later date, or remove it", title,
			time.Unix(int64(*expires), 0).UTC().Format(time.RFC3339)), &pulumi.LogArgs{Resource: parent})
	})
}

// newMoment returns the time at which the resource it registers was created. No provider of the program records a time,
// but a random ID keeps its keepers.
func newMoment(ctx *pulumi.Context, name string, parent pulumi.Resource) (pulumi.StringOutput, error) {
	const key = "made"
	id, err := random.NewRandomId(ctx, name, &random.RandomIdArgs{
		ByteLength: pulumi.Int(1),
		Keepers:    pulumi.StringMap{key: pulumi.String(now().UTC().Format(time.RFC3339))},
	}, pulumi.Parent(parent), pulumi.IgnoreChanges([]string{"keepers"}))
	if err != nil {
		return pulumi.StringOutput{}, fmt.Errorf("recording the creation time: %w", err)
	}
	return id.Keepers.MapIndex(pulumi.String(key)), nil
}

// seconds returns a valid date in seconds since 1970, or nil if omitted.
func seconds(text string, made pulumi.StringOutput) pulumi.IntPtrInput {
	d, ok := parseDate(text)
	switch {
	case !ok:
		return nil
	case !d.relative:
		return pulumi.IntPtr(int(d.at.Unix()))
	}
	return made.ApplyT(func(made string) (*int, error) {
		t, err := time.Parse(time.RFC3339, made)
		if err != nil {
			return nil, fmt.Errorf("reading the creation time: %w", err)
		}
		n := int(d.after.from(t).Unix())
		return &n, nil
	}).(pulumi.IntPtrOutput)
}

// atTime formats a date that Azure sends or receives.
func atTime(seconds int) string {
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

// sameDuration reports whether two durations are equal on every day. Azure may write a duration differently.
func sameDuration(a, b string) bool {
	first, ok := parseDuration(a)
	second, ok2 := parseDuration(b)
	return a == b || ok && ok2 && first.fitsIn(second) && second.fitsIn(first)
}

// shortHash returns a short hash of texts for a resource's name.
func shortHash(texts []string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:4])
}
