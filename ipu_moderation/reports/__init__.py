"""What is told to the public and to authors: the transparency report, and statements of reasons under the DSA. Needs the extra `review`."""
