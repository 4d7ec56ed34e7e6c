package tftp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNegotiate(t *testing.T) {
	const size = 8_200_000
	tests := []struct {
		name string
		asks []option
		want terms
	}{
		{name: "no options", want: terms{block: 512, window: 1}},
		{name: "iPXE", asks: []option{{"blksize", "1432"}, {"tsize", "0"}},
			want: terms{block: 1432, window: 1, grant: []option{{"blksize", "1432"}, {"tsize", "8200000"}}}},
		{name: "EDK2, in its order", asks: []option{{"tsize", "0"}, {"blksize", "1468"}, {"windowsize", "4"}},
			want: terms{block: 1468, window: 4, grant: []option{{"tsize", "8200000"}, {"blksize", "1468"}, {"windowsize", "4"}}}},
		{name: "more than fits", asks: []option{{"blksize", "65464"}, {"windowsize", "65535"}},
			want: terms{block: 1468, window: 64, grant: []option{{"blksize", "1468"}, {"windowsize", "64"}}}},
		{name: "the least", asks: []option{{"blksize", "8"}, {"windowsize", "1"}, {"timeout", "1"}},
			want: terms{block: 8, window: 1, grant: []option{{"blksize", "8"}, {"windowsize", "1"}, {"timeout", "1"}}}},
		{name: "the most of timeout", asks: []option{{"timeout", "255"}},
			want: terms{block: 512, window: 1, grant: []option{{"timeout", "255"}}}},
		{name: "out of range", asks: []option{{"blksize", "7"}, {"windowsize", "0"}, {"timeout", "0"}, {"tsize", "-1"}},
			want: terms{block: 512, window: 1}},
		{name: "out of range above", asks: []option{{"blksize", "65465"}, {"windowsize", "65536"}, {"timeout", "256"}},
			want: terms{block: 512, window: 1}},
		{name: "no numbers", asks: []option{{"blksize", ""}, {"windowsize", "4x"}, {"tsize", "99999999999999999999"}},
			want: terms{block: 512, window: 1}},
		{name: "unknown", asks: []option{{"multicast", ""}, {"rollover", "0"}}, want: terms{block: 512, window: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := negotiate(request{options: tt.asks}, size, largestBlock(1500, false))
			if diff := cmp.Diff(tt.want, got, compare); diff != "" {
				t.Errorf("negotiate(%v) (-want +got):\n%s", tt.asks, diff)
			}
		})
	}
}

func TestLargestBlock(t *testing.T) {
	tests := []struct {
		mtu  int
		v6   bool
		want int
	}{{1500, false, 1468}, {1500, true, 1448}, {576, false, 544}, {68, false, 512}, {65536, false, 65464}}
	for _, tt := range tests {
		if got := largestBlock(tt.mtu, tt.v6); got != tt.want {
			t.Errorf("largestBlock(%d, %v) = %d, want %d", tt.mtu, tt.v6, got, tt.want)
		}
	}
}
