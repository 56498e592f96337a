// Package config owns every setting of Moldau: Kafka's name, type, default, rule and meaning, once each, the reading of
// server.properties and KAFKA_* variables, and the effective settings of a topic. It does no I/O: the command line hands it
// the bytes of the file and the environment. It never acts on a setting; what acts reads the typed Config and Topic.
package config
