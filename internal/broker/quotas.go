package broker

import (
	"time"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/quota"
)

// quotaOptions says over what time quotas are measured.
func quotaOptions(o Options) quota.Options {
	return quota.Options{Clock: o.Clock, Windows: windows(o.Config, "quota.window."), Mutations: windows(o.Config, "controller.quota.window.")}
}

func windows(c *config.Config, prefix string) quota.Windows {
	return quota.Windows{Samples: int(c.Number(prefix + "num")), Size: time.Duration(c.Number(prefix+"size.seconds")) * time.Second}
}
