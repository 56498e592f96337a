package sarama

import (
	"testing"

	"github.com/IBM/sarama"

	"github.com/moldau/moldau/test/compat/broker"
)

// TestQuotas sets, describes and removes a quota at both versions of the APIs.
func TestQuotas(t *testing.T) {
	t.Parallel()
	for _, version := range []sarama.KafkaVersion{sarama.V2_6_0_0, sarama.MaxVersion} {
		name := broker.Name(t)
		a, err := sarama.NewClusterAdmin([]string{broker.Addr()}, config(version))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Close() }()
		entity := []sarama.QuotaEntityComponent{{EntityType: sarama.QuotaEntityUser, MatchType: sarama.QuotaMatchExact, Name: name},
			{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchDefault}}
		filter := []sarama.QuotaFilterComponent{{EntityType: sarama.QuotaEntityUser, MatchType: sarama.QuotaMatchExact, Match: name}}
		described := func(strict bool) []sarama.DescribeClientQuotasEntry {
			t.Helper()
			found, err := a.DescribeClientQuotas(filter, strict)
			if err != nil {
				t.Fatalf("version %s: %v", version, err)
			}
			return found
		}
		if err := a.AlterClientQuotas(entity, sarama.ClientQuotasOp{Key: "consumer_byte_rate", Value: 5e6}, false); err != nil {
			t.Fatalf("version %s: %v", version, err)
		}
		broker.Eventually(t, "the quota is described", func() bool { return len(described(false)) == 1 })
		if found := described(false)[0]; found.Values["consumer_byte_rate"] != 5e6 || len(found.Entity) != 2 {
			t.Errorf("version %s: %+v", version, found)
		}
		if found := described(true); len(found) != 0 {
			t.Errorf("version %s: strictly %+v", version, found)
		}
		if err := a.AlterClientQuotas(entity, sarama.ClientQuotasOp{Key: "nobody_knows", Value: 1}, false); err == nil || err.Error() != "Invalid configuration key nobody_knows" {
			t.Errorf("version %s: an unknown quota: %v", version, err)
		}
		if err := a.AlterClientQuotas(entity, sarama.ClientQuotasOp{Key: "consumer_byte_rate", Remove: true}, false); err != nil {
			t.Errorf("version %s: %v", version, err)
		}
		broker.Eventually(t, "the quota is gone", func() bool { return len(described(false)) == 0 })
	}
}
