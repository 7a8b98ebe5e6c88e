# od -An -v -tx1 in, the C source of sluice_<name>_descriptor out.
BEGIN {
	if (name == "")
		name = "ingestion"
	print "/* Generated: a FileDescriptorSet, imports included. */"
	print "#include \"" name "_descriptor.h\"\n"
	print "const unsigned char sluice_" name "_descriptor[] = {"
}
{
	line = "\t"
	for (i = 1; i <= NF; i++)
		line = line "0x" $i ", "
	print line
}
END {
	print "};"
	print "const size_t sluice_" name "_descriptor_length = sizeof(sluice_" name "_descriptor);"
}
