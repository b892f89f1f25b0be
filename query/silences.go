package query

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Silences keeps what people do not want to be paged for. internal/clickhouse has the
// one for ClickHouse. Of two versions of a silence the one with the higher ver counts.
type Silences interface {
	SaveSilence(ctx context.Context, s schemas.Silence, ver uint64) error
	Silence(ctx context.Context, id string) (schemas.Silence, error)
	// Silences are up to limit silences that end after a time, those that end last
	// first.
	Silences(ctx context.Context, after time.Time, limit int) ([]schemas.Silence, error)
}

type silencesInput struct {
	All   bool `query:"all" doc:"Those that have ended, too."`
	Limit int  `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type silencesOutput struct {
	Body schemas.SilencePage
}

type addSilenceInput struct {
	Body schemas.SilenceRequest
}

type expireSilenceInput struct {
	ID string `path:"id" maxLength:"64" example:"k3v5q2m7x4a6b8cd"`
	By string `query:"by" required:"true" minLength:"1" maxLength:"256" doc:"Who ends it." example:"jane@ops-1"`
}

type silenceOutput struct {
	Body schemas.Silence
}

func (a *API) registerSilences(api huma.API) {
	add := operation("add-silence", "/silences", "Silence findings",
		"What it matches is stored and shown, and pages nobody until the silence ends; what still grows then pages. Every silence has an end, within a year.")
	add.Method, add.DefaultStatus = http.MethodPost, http.StatusCreated
	huma.Register(api, add, a.addSilence)
	huma.Register(api, operation("list-silences", "/silences", "List silences", "Those in force and to come, the one that ends last first."), a.silences)
	expire := operation("expire-silence", "/silences/{id}", "End a silence", "Ends it now. One that has ended stays as it is.", http.StatusNotFound)
	expire.Method = http.MethodDelete
	huma.Register(api, expire, a.expireSilence)
}

func (a *API) addSilence(ctx context.Context, in *addSilenceInput) (*silenceOutput, error) {
	s, err := a.newSilence(&in.Body)
	if err != nil {
		return nil, err
	}
	_, err = ask(ctx, a, "store", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.cfg.Silences.SaveSilence(ctx, s, 1)
	})
	if err != nil {
		return nil, err
	}
	return &silenceOutput{Body: s}, nil
}

// newSilence reads what is asked for. A silence of everything would hide all that goes
// wrong.
func (a *API) newSilence(in *schemas.SilenceRequest) (schemas.Silence, error) {
	now := a.cfg.Now().UTC().Truncate(time.Millisecond)
	s := schemas.Silence{ID: newID(), SilenceMatcher: in.SilenceMatcher, By: in.By, Reason: in.Reason, MadeAt: now, StartsAt: now}
	if in.SilenceMatcher == (schemas.SilenceMatcher{}) {
		return s, invalid("want at least one of tenant, rule_id, identity, key, level and owner")
	}
	if strings.TrimSpace(in.Reason) == "" {
		return s, invalid("reason: want one")
	}
	var err error
	if in.Starts != "" {
		if s.StartsAt, err = readAhead("starts", in.Starts, now); err != nil {
			return s, err
		}
	}
	if s.EndsAt, err = readAhead("ends", in.Ends, s.StartsAt); err != nil {
		return s, err
	}
	switch {
	case !s.EndsAt.After(s.StartsAt) || !s.EndsAt.After(now):
		return s, invalid(fmt.Sprintf("ends: %s is not in the future, or not after the beginning", s.EndsAt.Format(timeFormat)))
	case s.EndsAt.Sub(s.StartsAt) > schemas.MaxSilence:
		return s, invalid("ends: want an end within a year; what is to be so for ever is an exception of the rule")
	}
	return s, nil
}

// readAhead reads a time in the forms of ReadTime, but for how long, which is counted
// on from a time and not back.
func readAhead(name, text string, from time.Time) (time.Time, error) {
	t, ok := ReadTime(text, from)
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			t = from.Add(from.Sub(t))
		}
	}
	t = t.UTC().Truncate(time.Millisecond)
	if !ok || !inRange(t) {
		return t, invalid(name + ": want a time like 2006-01-02T15:04:05Z, a date like 2006-01-02, or how long, like 8h or 7d")
	}
	return t, nil
}

func (a *API) silences(ctx context.Context, in *silencesInput) (*silencesOutput, error) {
	after := a.cfg.Now()
	if in.All {
		after = time.Time{}
	}
	silences, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.Silence, error) {
		return a.cfg.Silences.Silences(ctx, after, in.Limit)
	})
	if err != nil {
		return nil, err
	}
	return &silencesOutput{Body: schemas.SilencePage{Silences: silences}}, nil
}

func (a *API) expireSilence(ctx context.Context, in *expireSilenceInput) (*silenceOutput, error) {
	now := a.cfg.Now().UTC().Truncate(time.Millisecond)
	s, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.Silence, error) {
		s, err := a.cfg.Silences.Silence(ctx, in.ID)
		if err != nil || !s.EndsAt.After(now) {
			return s, err
		}
		s.EndsAt, s.ExpiredBy = now, in.By
		if s.StartsAt.After(now) {
			s.StartsAt = now
		}
		return s, a.cfg.Silences.SaveSilence(ctx, s, 2)
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("No silence has the id %s.", in.ID))
	}
	return &silenceOutput{Body: s}, nil
}
