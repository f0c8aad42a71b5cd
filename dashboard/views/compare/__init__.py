"""The Compare page: how far two to six runs agree, without ground truth."""
