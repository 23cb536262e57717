//! Control messages shared by daemon, command line and views
