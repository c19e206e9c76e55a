"""The messaging face, without I/O (messaging.md). Its names stop here: inside the daemon a
`channel` is a Room, and who is in it a Member (MS-1)."""
