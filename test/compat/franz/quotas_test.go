package franz

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/test/compat/broker"
)

// TestQuotas sets, describes and removes quotas of a user with a client id.
func TestQuotas(t *testing.T) {
	t.Parallel()
	admin, ctx := broker.Admin(t), broker.Context(t)
	me, app := broker.Name(t), broker.Name(t)
	entity := kadm.ClientQuotaEntity{{Type: "user", Name: &me}, {Type: "client-id", Name: &app}}
	set := []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 1e6}, {Key: "request_percentage", Value: 12.5}}}}
	described := func(strict bool, components ...kadm.DescribeClientQuotaComponent) (values kadm.ClientQuotaValues) {
		t.Helper()
		all, err := admin.DescribeClientQuotas(ctx, strict, components)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range all {
			values = append(values, q.Values...)
		}
		return values
	}
	user := kadm.DescribeClientQuotaComponent{Type: "user", MatchName: &me}
	anyClient := kadm.DescribeClientQuotaComponent{Type: "client-id", MatchType: 2}

	done, err := admin.ValidateAlterClientQuotas(ctx, set)
	if err != nil || len(done) != 1 || done[0].Err != nil {
		t.Fatalf("dry run: %v %+v", err, done)
	}
	if got := described(false, user); len(got) != 0 {
		t.Fatalf("a dry run set %v", got)
	}
	if done, err = admin.AlterClientQuotas(ctx, set); err != nil || len(done) != 1 || done[0].Err != nil {
		t.Fatalf("set: %v %+v", err, done)
	}
	broker.Eventually(t, "both quotas are described", func() bool { return len(described(false, user)) == 2 })
	if got := described(true, user, anyClient); len(got) != 2 {
		t.Errorf("strictly: %v", got)
	}
	if got := described(true, user); len(got) != 0 {
		t.Errorf("of the user alone: %v", got)
	}
	wrong := []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "connection_creation_rate", Value: 1}}}}
	if done, err = admin.AlterClientQuotas(ctx, wrong); err != nil || done[0].Err == nil || done[0].ErrMessage != "Invalid configuration key connection_creation_rate" {
		t.Errorf("a quota of addresses for a user: %v %+v", err, done)
	}
	if _, err := admin.DescribeClientQuotas(ctx, false, []kadm.DescribeClientQuotaComponent{{Type: "group", MatchType: 2}}); err == nil {
		t.Error("an unknown kind was described")
	}
	set[0].Ops = []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Remove: true}, {Key: "request_percentage", Remove: true}}
	if done, err = admin.AlterClientQuotas(ctx, set); err != nil || done[0].Err != nil {
		t.Fatalf("remove: %v %+v", err, done)
	}
	broker.Eventually(t, "no quotas are described", func() bool { return len(described(false, user)) == 0 })
}
