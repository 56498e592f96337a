package diff

import "fmt"

// Differences lists where Moldau deliberately answers otherwise than Kafka. Each reason is a heading of docs/differences.md; an entry that
// no longer describes any difference fails the test, and so does a heading without an entry.
func Differences() []Allowed {
	all := []Allowed{
		{"*", ".Topics[*].RecordBatches[*].Cut", "Fetched data ends with a whole batch"},
	}
	for _, key := range notServed {
		all = append(all, Allowed{"*", fmt.Sprintf(".ApiKeys[%d].*", key), "What is not served is not advertised"})
	}
	for _, feature := range []string{"SupportedFeatures", "FinalizedFeatures"} {
		all = append(all, Allowed{"*", "." + feature + "[*", "What is not served is not advertised"})
	}
	return append(all,
		Allowed{"*-transactional", ".ErrorCode", "Transactions are refused"},
		Allowed{"seq-transactional-refused/sequence", "*", "Transactions are refused"},
		Allowed{"seq-null-records/sequence", "outcome", "Null records are answered"},
	)
}

// notServed lists the API keys that Kafka serves on a broker's listener and Moldau does not yet.
var notServed = []int16{
	8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25, 26, 27, 28, 29, 30, 31, 33, 34, 35, 36, 38, 39, 40, 41, 42, 43, 45, 46, 47, 48, 49, 50, 51, 55, 57,
	61, 64, 65, 66, 68, 69, 74, 75, 76, 77, 78, 79, 80, 81, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92,
}
