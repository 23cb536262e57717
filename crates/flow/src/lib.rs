//! The shared flow table: record layout, keyed hash, lookup, publish; and the punt header
