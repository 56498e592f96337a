package diff

import (
	"crypto/sha256"
	"crypto/sha512"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// acl is what the three requests about access say of one rule.
type acl struct {
	resource, pattern, operation, permission int8
	name, principal, host                    *string
}

// anything is a filter that every rule passes.
var anything = acl{resource: 1, pattern: 1, operation: 1, permission: 1}

// allowed is a rule as users write it.
var allowed = acl{2, 3, 3, 3, ptr("a"), ptr("User:me"), ptr("*")}

// odd are rules and filters at the edge of what may be said, and beyond. The names keep them apart in the recording.
func oddACLs() map[string]acl {
	odd := map[string]acl{}
	for about, change := range map[string]func(*acl){
		"unknown resource":      func(a *acl) { a.resource = 0 },
		"resource of no kind":   func(a *acl) { a.resource = 99 },
		"any resource":          func(a *acl) { a.resource = 1 },
		"unknown pattern":       func(a *acl) { a.pattern = 0 },
		"pattern of no kind":    func(a *acl) { a.pattern = 9 },
		"any pattern":           func(a *acl) { a.pattern = 1 },
		"match":                 func(a *acl) { a.pattern = 2 },
		"prefixed":              func(a *acl) { a.pattern = 4 },
		"unknown operation":     func(a *acl) { a.operation = 0 },
		"operation of no kind":  func(a *acl) { a.operation = 99 },
		"unknown permission":    func(a *acl) { a.permission = 0 },
		"permission of no kind": func(a *acl) { a.permission = 9 },
		"empty name":            func(a *acl) { a.name = ptr("") },
		"no principal":          func(a *acl) { a.principal = ptr("nobody") },
		"empty principal":       func(a *acl) { a.principal = ptr("") },
	} {
		a := allowed
		change(&a)
		odd[about] = a
	}
	return odd
}

func describeACLs(v int16, a acl) *kmsg.DescribeACLsRequest {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.Version = v
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceType(a.resource), kmsg.ACLResourcePatternType(a.pattern)
	req.Operation, req.PermissionType = kmsg.ACLOperation(a.operation), kmsg.ACLPermissionType(a.permission)
	req.ResourceName, req.Principal, req.Host = a.name, a.principal, a.host
	return req
}

func createACLs(v int16, rules ...acl) *kmsg.CreateACLsRequest {
	req := kmsg.NewPtrCreateACLsRequest()
	req.Version = v
	for _, a := range rules {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourcePatternType = kmsg.ACLResourceType(a.resource), kmsg.ACLResourcePatternType(a.pattern)
		c.Operation, c.PermissionType = kmsg.ACLOperation(a.operation), kmsg.ACLPermissionType(a.permission)
		c.ResourceName, c.Principal, c.Host = *a.name, *a.principal, *a.host
		req.Creations = append(req.Creations, c)
	}
	return req
}

func deleteACLs(v int16, filters ...acl) *kmsg.DeleteACLsRequest {
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Version = v
	for _, a := range filters {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourcePatternType = kmsg.ACLResourceType(a.resource), kmsg.ACLResourcePatternType(a.pattern)
		f.Operation, f.PermissionType = kmsg.ACLOperation(a.operation), kmsg.ACLPermissionType(a.permission)
		f.ResourceName, f.Principal, f.Host = a.name, a.principal, a.host
		req.Filters = append(req.Filters, f)
	}
	return req
}

func describeACLsCases(v int16) *suite {
	return aclCases(keyDescribeAcls, v, func(a acl) kmsg.Request { return describeACLs(v, a) }, nil)
}

func createACLsCases(v int16) *suite {
	return aclCases(keyCreateAcls, v, func(a acl) kmsg.Request { return createACLs(v, a) }, func(rules ...acl) kmsg.Request { return createACLs(v, rules...) })
}

func deleteACLsCases(v int16) *suite {
	return aclCases(keyDeleteAcls, v, func(a acl) kmsg.Request { return deleteACLs(v, a) }, func(filters ...acl) kmsg.Request { return deleteACLs(v, filters...) })
}

// aclCases are the cases of the three requests. All are refused: the recorded broker has no authorizer.
func aclCases(key, v int16, one func(acl) kmsg.Request, several func(...acl) kmsg.Request) *suite {
	s := newSuite(key, v)
	s.add(Ordinary, "", func(x *Script) {
		x.Do(one(allowed))
		if key != keyCreateAcls {
			x.Do(one(anything))
		}
	})
	s.add(Boundary, "", func(x *Script) {
		x.Do(one(allowed))
		if several != nil {
			x.Do(several())
			x.Do(several(allowed, allowed, oddACLs()["prefixed"]))
		}
	})
	s.add(Wrong, "", func(x *Script) {
		odd := oddACLs()
		for _, about := range slices.Sorted(maps.Keys(odd)) {
			x.Note(about)
			x.Do(one(odd[about]))
		}
		if several != nil {
			x.Note("one of two is wrong")
			x.Do(several(allowed, odd["unknown resource"]))
		}
	})
	s.malformed(func(*Script) kmsg.Request { return one(allowed) })
	return s
}

func createToken(v int16, ownerType, owner *string, renewers ...string) *kmsg.CreateDelegationTokenRequest {
	req := kmsg.NewPtrCreateDelegationTokenRequest()
	req.Version, req.MaxLifetimeMillis, req.OwnerPrincipalType, req.OwnerPrincipalName = v, -1, ownerType, owner
	for _, name := range renewers {
		r := kmsg.NewCreateDelegationTokenRequestRenewer()
		r.PrincipalType, r.PrincipalName = "User", name
		req.Renewers = append(req.Renewers, r)
	}
	return req
}

func createTokenCases(v int16) *suite {
	s := newSuite(keyCreateDelegationToken, v)
	s.add(Ordinary, "", func(x *Script) { x.Do(createToken(v, nil, nil, "me")) })
	s.add(Boundary, "", func(x *Script) {
		x.Do(createToken(v, nil, nil))
		x.Do(createToken(v, nil, nil, "me", "me", ""))
		x.Do(createToken(v, ptr(""), ptr("")))
		x.Do(createToken(v, ptr("User"), ptr("")))
		x.Do(createToken(v, ptr("User"), ptr("ANONYMOUS")))
		x.Do(createToken(v, ptr("User"), ptr("somebody")))
	})
	s.add(Wrong, "", func(x *Script) {
		odd := createToken(v, nil, nil, "me")
		odd.Renewers[0].PrincipalType = "Group"
		x.Do(odd)
		odd.MaxLifetimeMillis = -2
		x.Do(odd)
		x.Do(createToken(v, ptr("Group"), ptr("somebody")))
		x.Note("an owner without a type")
		x.Do(createToken(v, nil, ptr("somebody")))
	})
	s.malformed(func(*Script) kmsg.Request { return createToken(v, nil, nil, "me") })
	return s
}

func renewTokenCases(v int16) *suite {
	s := newSuite(keyRenewDelegationToken, v)
	renew := func(hmac string, period int64) kmsg.Request {
		req := kmsg.NewPtrRenewDelegationTokenRequest()
		req.Version, req.HMAC, req.RenewTimeMillis = v, []byte(hmac), period
		return req
	}
	tokenCases(s, renew)
	return s
}

func expireTokenCases(v int16) *suite {
	s := newSuite(keyExpireDelegationToken, v)
	expire := func(hmac string, period int64) kmsg.Request {
		req := kmsg.NewPtrExpireDelegationTokenRequest()
		req.Version, req.HMAC, req.ExpiryPeriodMillis = v, []byte(hmac), period
		return req
	}
	tokenCases(s, expire)
	return s
}

func tokenCases(s *suite, request func(hmac string, period int64) kmsg.Request) {
	s.add(Ordinary, "", func(x *Script) { x.Do(request("a token", 60_000)) })
	s.add(Boundary, "", func(x *Script) {
		x.Do(request("a token", 0))
		x.Do(request("a token", -1))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Do(request("", 60_000))
		x.Do(request("a token", -1<<63))
	})
	s.malformed(func(*Script) kmsg.Request { return request("a token", 1) })
}

func describeTokenCases(v int16) *suite {
	s := newSuite(keyDescribeDelegationToken, v)
	describe := func(owners ...string) kmsg.Request {
		req := kmsg.NewPtrDescribeDelegationTokenRequest()
		req.Version = v
		req.Owners = []kmsg.DescribeDelegationTokenRequestOwner{}
		for _, name := range owners {
			o := kmsg.NewDescribeDelegationTokenRequestOwner()
			o.PrincipalType, o.PrincipalName = "User", name
			req.Owners = append(req.Owners, o)
		}
		return req
	}
	s.add(Ordinary, "", func(x *Script) {
		all := kmsg.NewPtrDescribeDelegationTokenRequest()
		all.Version = v
		x.Do(all)
		x.Do(describe("me"))
	})
	s.add(Boundary, "", func(x *Script) { x.Do(describe()) })
	s.add(Wrong, "", func(x *Script) { x.Do(describe("")) })
	s.malformed(func(*Script) kmsg.Request { return describe("me") })
	return s
}

// The mechanisms of SCRAM. These numbers are Kafka's and frozen.
const (
	scram256 = 1
	scram512 = 2
)

func describeScram(v int16, users ...string) *kmsg.DescribeUserSCRAMCredentialsRequest {
	req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	req.Version = v
	req.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{}
	for _, name := range users {
		u := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
		u.Name = name
		req.Users = append(req.Users, u)
	}
	return req
}

// scramChange is one upsertion, or with no iterations a deletion.
type scramChange struct {
	user       string
	mechanism  int8
	iterations int32
}

func alterScram(v int16, changes ...scramChange) *kmsg.AlterUserSCRAMCredentialsRequest {
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	req.Version = v
	for _, c := range changes {
		if c.iterations == 0 {
			d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
			d.Name, d.Mechanism = c.user, c.mechanism
			req.Deletions = append(req.Deletions, d)
			continue
		}
		u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
		u.Name, u.Mechanism, u.Iterations, u.Salt = c.user, c.mechanism, c.iterations, []byte("salt")
		if u.SaltedPassword = make([]byte, sha256.Size); c.mechanism == scram512 {
			u.SaltedPassword = make([]byte, sha512.Size)
		}
		req.Upsertions = append(req.Upsertions, u)
	}
	return req
}

func describeScramCases(v int16) *suite {
	s := newSuite(keyDescribeUserScramCredentials, v)
	s.add(Ordinary, "", func(x *Script) {
		a, b := x.Name("a"), x.Name("b")
		x.Do(alterScram(v, scramChange{a, scram256, 4096}, scramChange{b, scram512, 8192}))
		x.Settle()
		x.Do(describeScram(v, a))
		x.Do(describeScram(v, b, a))
		x.Do(alterScram(v, scramChange{a, scram512, 16384}))
		x.Settle()
		x.Do(describeScram(v, a))
		all := describeScram(v)
		x.Do(all)
		all.Users = nil
		x.Do(all)
	})
	s.add(Boundary, "", func(x *Script) {
		x.Do(describeScram(v, x.Name("nobody")))
		x.Do(describeScram(v, ""))
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Name("a")
		x.Do(alterScram(v, scramChange{a, scram256, 4096}))
		x.Settle()
		x.Do(describeScram(v, a, a))
		x.Do(describeScram(v, a, x.Name("nobody"), a, a))
	})
	s.malformed(func(*Script) kmsg.Request { return describeScram(v, "nobody") })
	return s
}

func alterScramCases(v int16) *suite {
	s := newSuite(keyAlterUserScramCredentials, v)
	s.add(Ordinary, "", func(x *Script) {
		a := x.Name("a")
		x.Do(alterScram(v, scramChange{a, scram256, 4096}))
		x.Settle()
		x.Do(describeScram(0, a))
		x.Do(alterScram(v, scramChange{a, scram256, 5000}))
		x.Settle()
		x.Do(describeScram(0, a))
		x.Do(alterScram(v, scramChange{a, scram256, 0}))
		x.Settle()
		x.Do(describeScram(0, a))
		x.Do(alterScram(v, scramChange{a, scram256, 0}))
	})
	s.add(Boundary, "", func(x *Script) {
		a := x.Name("a")
		x.Do(alterScram(v))
		x.Do(alterScram(v, scramChange{a, scram256, 16384}, scramChange{x.Name("b"), scram512, 4096}))
		empty := alterScram(v, scramChange{x.Name("c"), scram256, 4096})
		empty.Upsertions[0].Salt = []byte{}
		x.Note("empty salt")
		x.Do(empty)
		short := alterScram(v, scramChange{x.Name("e"), scram256, 4096})
		short.Upsertions[0].SaltedPassword = []byte("short")
		x.Note("a salted password of another length")
		x.Do(short)
		x.Settle()
		x.Do(describeScram(0, a, x.Name("b"), x.Name("c"), x.Name("e")))
	})
	s.add(Wrong, "", func(x *Script) {
		a, b := x.Name("a"), x.Name("b")
		for _, c := range []scramChange{
			{a, scram256, 4095}, {a, scram512, 4095}, {a, scram256, 16385}, {a, scram256, -1}, {a, 0, 4096}, {a, 3, 4096}, {a, -1, 4096},
			{"", scram256, 4096}, {"", 0, 1}, {a, 0, 1}, {a, scram256, 0}, {a, 0, 0}, {"", scram256, 0}, {"", 7, 0},
		} {
			x.Do(alterScram(v, c))
		}
		x.Do(alterScram(v, scramChange{a, scram256, 4096}))
		x.Do(alterScram(v, scramChange{a, scram256, 4096}, scramChange{a, scram512, 4096}))
		x.Do(alterScram(v, scramChange{a, scram256, 0}, scramChange{a, scram256, 4096}))
		x.Do(alterScram(v, scramChange{a, scram256, 0}, scramChange{a, scram256, 0}))
		x.Do(alterScram(v, scramChange{a, scram512, 0}, scramChange{a, scram256, 0}))
		x.Do(alterScram(v, scramChange{a, scram256, 4096}, scramChange{a, scram256, 4096}, scramChange{a, scram256, 4096}))
		x.Do(alterScram(v, scramChange{a, scram256, 4095}, scramChange{a, scram256, 4096}, scramChange{b, scram256, 4096}))
		x.Do(alterScram(v, scramChange{"", scram256, 4096}, scramChange{b, scram512, 4096}))
		empty := alterScram(v, scramChange{a, scram256, 4096})
		empty.Upsertions[0].SaltedPassword = []byte{}
		x.Note("empty salted password")
		x.Do(empty)
		x.Settle()
		x.Do(describeScram(0, a, b))
	})
	s.malformed(func(*Script) kmsg.Request { return alterScram(v, scramChange{"nobody", scram256, 0}) })
	return s
}
